"""The memory store keeps the contract of table storage."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from faust.exceptions import ImproperlyConfigured
from faust.stores.memory import MemoryPartition, Store

KEYS = st.binary(max_size=1)
CHANGES = st.lists(st.tuples(KEYS, st.one_of(st.none(), st.binary(max_size=1))), max_size=20)


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


def test_iteration_is_not_disturbed_by_writes() -> None:
    """An iteration shows the entries there were when it began."""
    partition = MemoryPartition()
    partition.write([(b"a", b"1"), (b"b", b"2")], 2)
    keys, items = partition.keys(), partition.items()
    partition.write([(b"a", None), (b"c", b"3")], 4)
    assert list(keys) == [b"a", b"b"]
    assert list(items) == [(b"a", b"1"), (b"b", b"2")]


def test_a_cleared_partition_knows_nothing() -> None:
    """Neither entries nor offset survive, so it is read from the beginning."""
    partition = MemoryPartition()
    partition.write([(b"a", b"1")], 7)
    partition.clear()
    assert partition.persisted_offset is None
    assert partition.get(b"a") is None
    partition.close()
    partition.close()


async def test_partitions_share_nothing() -> None:
    """Two partitions of one table are two stores."""
    store = Store(URL("memory://"), table="totals")
    first, second = await store.open(0), await store.open(1)
    first.write([(b"a", b"1")], 1)
    assert second.get(b"a") is None
    assert second.persisted_offset is None
    await store.destroy()
    await store.close()


def test_unknown_options_are_refused() -> None:
    """An option that would have no effect is an error that names table and option."""
    with pytest.raises(ImproperlyConfigured, match=r"'totals'.*\['ttl'\]"):
        Store(URL("memory://"), table="totals", options={"ttl": 5})
