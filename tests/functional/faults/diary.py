"""What a worker has handled and what it knows to be committed, written so that no death of the process takes it away.

The diary is a file that is mapped into memory: what was written there is in the kernel's hands at once, and outlives SIGKILL
without a system call per event. It has one entry per *run*: consecutive offsets of one partition that were handed to agents
without a pause. An event goes on with the run of its partition, in place; so a diary stays small however long a worker lives.

An event is written down *before* its agent does anything with it. What has come out was therefore handled according to some
diary, and what came out twice was handled twice. Times are monotonic, which on one machine all processes share.
"""

from __future__ import annotations

import mmap
import struct
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from faust.messages import TP

__all__ = ["BREAK", "Diary", "Run", "read_diaries"]

BREAK = 1.0
"""Seconds between two events after which a new run begins: what a frozen process does when it wakes up is a run of its own."""
MOST_RUNS = 50_000

_RUN = struct.Struct("=76siqdqdqd")
_EVENT = struct.Struct("=qd")
_TO_REACHED, _TO_COMMITTED = _RUN.size - 32, _RUN.size - 16


class Run(NamedTuple):
    """Consecutive events of a partition.

    Attributes:
        worker: Whose diary it stands in.
        tp: The partition.
        first: Offset of the first event.
        began: When that was handled, in monotonic seconds.
        reached: Offset after the last event.
        last: When that was handled.
        committed: What the broker has acknowledged to the worker while this was its latest run; -1: nothing.
        committed_at: When it did so.
    """

    worker: str
    tp: TP
    first: int
    began: float
    reached: int
    last: float
    committed: int
    committed_at: float


class Diary:
    """The diary of one process.

    Arguments:
        path: Of a file that is not there yet.
    """

    def __init__(self, path: Path) -> None:
        with path.open("x+b") as file:
            file.truncate(MOST_RUNS * _RUN.size)
            self._map = mmap.mmap(file.fileno(), MOST_RUNS * _RUN.size)
        self._end = 0
        self._runs: dict[tuple[str, int], tuple[int, int, float]] = {}
        """By partition where its run stands, the next offset, and the time of the last one."""

    def handles(self, topic: str, partition: int, offset: int) -> None:
        """An event is about to be handled."""
        now = time.monotonic()
        at, expected, last = self._runs.get((topic, partition), (0, -1, 0.0))
        if offset != expected or now - last > BREAK:
            at = self._begin(topic, partition, offset, now)
        _EVENT.pack_into(self._map, at + _TO_REACHED, offset + 1, now)
        self._runs[topic, partition] = at, offset + 1, now

    def _begin(self, topic: str, partition: int, offset: int, now: float) -> int:
        at, self._end = self._end, self._end + _RUN.size
        if self._end > len(self._map):
            raise RuntimeError(f"a diary has room for {MOST_RUNS} runs, and this one is full")
        entry = (topic.encode(), partition, offset, now, offset, now, -1, 0.0)
        _RUN.pack_into(self._map, at, *entry)
        return at

    def committed(self, offsets: Mapping[TP, int]) -> None:
        """The broker has acknowledged these offsets."""
        now = time.monotonic()
        for tp, offset in offsets.items():
            if (run := self._runs.get(tp)) is not None:
                _EVENT.pack_into(self._map, run[0] + _TO_COMMITTED, offset, now)


def read_diaries(directory: Path) -> list[Run]:
    """Return the runs of all diaries (``*.diary``) in a directory; the name of a file is that of the worker."""
    found = []
    for path in sorted(directory.glob("*.diary")):
        for topic, partition, *numbers in _RUN.iter_unpack(path.read_bytes()):
            name = topic.rstrip(b"\0").decode()
            if not name:
                break
            found.append(Run(path.stem, TP(name, partition), *numbers))
    return found
