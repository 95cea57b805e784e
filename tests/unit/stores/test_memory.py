"""The memory store keeps the contract of table storage."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from faust.exceptions import ImproperlyConfigured
from faust.stores.contract import StoreContract
from faust.stores.memory import MemoryPartition, Store

KEYS = st.binary(max_size=1)
CHANGES = st.lists(st.tuples(KEYS, st.one_of(st.none(), st.binary(max_size=1))), max_size=20)


class TestContract(StoreContract):
    """stores.md 2, 3 and 6: the one suite over all stores (pain row 36)."""

    def make(self, directory: Path, table: str = "totals") -> Store:
        return Store(URL("memory://"), table=table, directory=directory)


@given(st.lists(st.tuples(CHANGES, st.one_of(st.none(), st.integers(0, 99)))))
def test_batches_are_applied_in_order(
    batches: list[tuple[list[tuple[bytes, bytes | None]], int | None]],
) -> None:
    """Each change counts, in order; the last offset that was given is the persisted one."""
    partition = MemoryPartition()
    model: dict[bytes, bytes] = {}
    reached = None
    for changes, offset in batches:
        partition.write(changes, offset)
        reached = reached if offset is None else offset
        for key, value in changes:
            model.pop(key, None)
            if value is not None:
                model[key] = value
    assert dict(partition.items()) == model
    assert set(partition.keys()) == set(model)
    assert len(partition) == len(model)
    assert partition.is_empty() == (not model)
    assert partition.persisted_offset == reached
    assert all(partition.get(key) == value for key, value in model.items())


def test_unknown_options_are_refused() -> None:
    """An option that would have no effect is an error that names table and option."""
    with pytest.raises(ImproperlyConfigured, match=r"'totals'.*\['ttl'\]"):
        Store(URL("memory://"), table="totals", options={"ttl": 5})


async def test_5_no_copies() -> None:
    """A store without files says that there is nothing to back up (stores.md 2)."""
    store = Store(URL("memory://"), table="totals")
    with pytest.raises(NotImplementedError, match="cannot be backed up"):
        await store.backup_partition(0)
    with pytest.raises(NotImplementedError, match="cannot be backed up"):
        store.restore_backup(0)
