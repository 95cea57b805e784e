"""Three looks at the table of a trial that is over: its changelog, what fresh workers recover, and what lies on disks.

* The *changelog*, as a reader that reads committed sees it, must hold the recomputed truth.
* A worker *without data* must recover exactly what the changelog holds; with RocksDB another one, that begins with the *directory*
  of a worker of the trial, must as well.
* Every RocksDB directory that any worker has left, killed or not, must hold what the changelog held at the offset that stands in
  it: a store is never ahead of what was committed, nor beside it.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from yarl import URL

from faust.messages import TP, Slice
from faust.stores.rocksdb import Store
from faust.testing.faults import Crew, Observer, TableDifference, compare_table
from tests.functional.faults.chaos_app import KEYS, WINDOW, group_of
from tests.support.processes import ROOT

__all__ = ["Changelog", "check_directories", "recover", "truth_of"]

TABLE = "counts"
RECOVERY_LIMIT = 90.0
"""Seconds that a fresh worker may take until it has recovered, the start of its process included."""


def truth_of(app: str, sent: int) -> dict[Any, int]:
    """Return what the table of an app must hold after the numbers below *sent*."""
    if app == "count":
        return {str(key): len(range(key, sent, KEYS)) for key in range(min(KEYS, sent))}
    truth: dict[Any, int] = {}
    for number in range(sent):
        key = (group_of(number), number // WINDOW)
        truth[key] = truth.get(key, 0) + 1
    return truth


def _name(key: Any, app: str) -> Any:
    return key if app == "count" else (key[0], int(key[1][0]) // WINDOW)


@dataclass
class Changelog:
    """Every record of a changelog that was committed, by partition, as (offset, key, value)."""

    app: str
    records: dict[TP, list[tuple[int, bytes, bytes | None]]] = field(default_factory=dict)

    @classmethod
    async def read(cls, url: str, group: str, app: str, tps: Sequence[TP]) -> Changelog:
        """Read all of it."""
        made = cls(app, {tp: [] for tp in tps})

        def keep(batch: Slice) -> None:
            log = made.records[batch.tp]
            log.extend((r.offset, r.key or b"null", r.value) for r in batch.records)

        async with Observer(url, group, read_committed=True, on_slice=keep) as observer:
            await observer.follow(tps)
            await observer.catch_up()
        return made

    def replay(self, tp: TP, until: int | None = None) -> dict[bytes, bytes]:
        """Return what a partition holds after its records below offset *until*; None: after all of them."""
        found: dict[bytes, bytes] = {}
        for offset, key, value in self.records[tp]:
            if until is not None and offset >= until:
                break
            if value is None:
                found.pop(key, None)
            else:
                found[key] = value
        return found

    def contents(self) -> dict[Any, int]:
        """Return the table."""
        return {
            _name(orjson.loads(key), self.app): orjson.loads(value)
            for tp in self.records
            for key, value in self.replay(tp).items()
        }

    def compare(self, sent: int) -> TableDifference:
        """Compare with the truth."""
        return compare_table(truth_of(self.app, sent), self.contents())


def _lone(crew: Crew, directory: Path, dump: Path) -> Crew:
    directory.mkdir(exist_ok=True)
    return Crew(crew._command, directory, env={**crew._env, "FAULTS_DUMP": str(dump)}, cwd=ROOT)


async def recover(crew: Crew, directory: Path, app: str) -> dict[Any, int] | str:
    """Have a lone worker recover the table, and return it; or why it could not.

    Arguments:
        crew: Whose program is run.
        directory: The worker's data are in ``w1`` below it.
        app: What the program does.
    """
    dump = directory / "dump.json"
    lone = _lone(crew, directory, dump)
    name = lone.hire("w1")
    deadline = time.monotonic() + RECOVERY_LIMIT
    try:
        while not dump.exists():
            said = "\n".join(lone.alive[name].errors[-40:])
            if ended := lone.look():
                return "\n".join(map(str, ended))
            if time.monotonic() > deadline:
                return f"not recovered in {RECOVERY_LIMIT:.0f} s:\n{said}"
            await asyncio.sleep(0.05)
        await lone.end()
    finally:
        lone.close()
    return {_name(key, app): value for key, value in json.loads(dump.read_text())}


def differing(one: Mapping[Any, Any], other: Mapping[Any, Any]) -> list[Any]:
    """Return the keys that two tables do not have in common, or with other values."""
    return sorted(key for key in one.keys() | other.keys() if one.get(key) != other.get(key))


async def check_directories(
    changelog: Changelog, directories: Sequence[Path]
) -> tuple[int, list[str]]:
    """Compare RocksDB directories with the changelog at their offsets; return how many databases there were, and complaints."""
    checked, wrong = 0, []
    by_number = {tp.partition: tp for tp in changelog.records}
    for directory in directories:
        for path in sorted(directory.rglob(f"{TABLE}-*.db")):
            number = path.name.removeprefix(f"{TABLE}-").removesuffix(".db")
            if not number.isdecimal():
                continue
            store = Store(URL("rocksdb://"), table=TABLE, directory=path.parent)
            partition = await store.open(int(number))
            found, offset = dict(partition.items()), partition.persisted_offset
            await store.close()
            checked += 1
            expected = changelog.replay(by_number[int(number)], offset or 0)
            if keys := differing(expected, found):
                shown = [(key, expected.get(key), found.get(key)) for key in keys[:3]]
                wrong.append(
                    f"{path.relative_to(directory.parent)} at {offset}: {len(keys)} keys are not as in the changelog"
                    f" (key, changelog, directory): {shown}"
                )
    return checked, wrong
