"""Which keys of a partition have to go, and when: windows by event time, single keys by their age.

Both indices are derived from what the partition holds, so recovery rebuilds them. An entry is made once per key (of a
window), never per write, and removed with it.

`WindowIndex`: the range stands in the key, so the index is a dict from range to the keys that have it, and needs no
order: ranges are few, and sorted when it is time to look. The *time* of a partition is the latest event time that
was written to it; after recovery, the start of its latest window, or the time up to which windows were closed. While
nothing comes time stands still, and windows would never end, so `WindowIndex.tick` lets it run on with the clock.

`TtlIndex`: the time of a key's last change is kept with the store as a *note*. Keys wait in buckets of a tenth of the ttl; a
key that was changed meanwhile goes to a later bucket when its bucket is due, so a busy key costs two dict stores per flush.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from math import inf
from time import time
from typing import Any

from faust.messages import TP
from faust.stores.base import Change
from faust.tables.codec import TableCodec, WindowedCodec, WindowedKey
from faust.windows import Window, WindowRange

__all__ = ["TtlIndex", "WindowIndex"]

STEP = 5000
"""Keys between two steps of `rebuild`."""


class WindowIndex:
    """The windows of one partition.

    Arguments:
        codec: Of the table.
        window: How time is divided.
        on_key: Called with a key and True when it gets its first window, and False when it loses its last.
        counts: Whether anybody listens to that.
        keeps_keys: Keep keys as they are written, which the table has in memory anyway; else they are decoded when they end.

    Attributes:
        time: Event time that the partition has reached.
        ranges: The keys of each range: their bytes, with the key as the table holds it, or None.
        closed: Ranges that close at or before this time were closed; only where they are kept longer.
        called: Keys whose close callback has succeeded, of ranges that are not wholly closed yet.
        unsent: What is changed in the partition and not being flushed; empty: nothing.
    """

    wants_stamps = False

    def __init__(
        self,
        codec: WindowedCodec,
        window: Window,
        *,
        on_key: Callable[[Any, bool], None],
        counts: bool,
        keeps_keys: bool = False,
    ) -> None:
        self.time: float = -inf
        self.ranges: dict[WindowRange, dict[bytes, WindowedKey | None]] = {}
        self.closed: float = -inf
        self.called: set[bytes] = set()
        self._codec = codec
        self._window = window
        self._on_key = on_key
        self._counts: dict[Any, int] | None = {} if counts else None
        self._keeps_keys = keeps_keys
        self.touched: bool = False
        """Something was written since the last tick that did not move the time."""
        self._active_at = -inf
        self.unsent: Collection[Any] = ()
        self._flushed_at = -inf  # the time when the last flush was done
        self._settled = -inf  # a time that the changelog has

    def __len__(self) -> int:
        return sum(map(len, self.ranges.values()))

    # -- time

    @property
    def resting(self) -> bool:
        """Nothing was written since the last tick."""
        return self.time == self._active_at and not self.touched

    def tick(self, elapsed: float) -> None:
        """So many seconds have passed since the last tick: if nothing was written all along, the time goes on."""
        if self.resting:
            self.time += elapsed
        self.touched = False
        self._active_at = self.time

    def restore(self, time: float) -> None:
        """The time was *time* before a restart."""
        if time > self.time:
            self.time = self._active_at = time

    # -- keys

    def added(self, key: Any, raw: bytes) -> None:
        """A key of a window is written for the first time."""
        keys = self.ranges.get(key[1])
        if keys is None:
            keys = self.ranges[key[1]] = {}
            self.time = max(self.time, key[1][0])
        if raw in keys:
            return
        keys[raw] = key if self._keeps_keys else None
        if self._counts is not None:
            count = self._counts[key[0]] = self._counts.get(key[0], 0) + 1
            if count == 1:
                self._on_key(key[0], True)

    def lacks(self, key: Any, raw: bytes) -> bool:
        """Say whether a key has no such window."""
        keys = self.ranges.get(key[1])
        return keys is None or raw not in keys

    def deleted(self, key: Any, raw: bytes | None = None) -> None:
        """A key of a window is gone; its bytes may be known."""
        self._remove(key, raw or self._codec.encode_key(key))

    def deleted_all(self, keys: Mapping[bytes, Any]) -> None:
        """Keys of windows, by their bytes, are gone."""
        if self._counts is not None:
            for raw, key in keys.items():
                self._remove(key, raw)
            return
        ranges = self.ranges
        if self.called:
            self.called.difference_update(keys)
        there: dict[bytes, WindowedKey | None] = {}
        last = None
        for raw, (_, window_range) in keys.items():
            if window_range is not last:
                last = window_range
                there = ranges.get(window_range, {})
            there.pop(raw, None)
            if not there:
                ranges.pop(window_range, None)

    def _remove(self, key: Any, raw: bytes) -> None:
        keys = self.ranges.get(key[1])
        if keys is None or raw not in keys:
            return
        del keys[raw]
        self.called.discard(raw)
        if not keys:
            del self.ranges[key[1]]
        if self._counts is not None:
            self._counts[key[0]] -= 1
            if not self._counts[key[0]]:
                del self._counts[key[0]]
                self._on_key(key[0], False)

    def clear(self) -> None:
        """All keys are deleted."""
        gone = list(self._counts or ())
        self.forget()
        for key in gone:
            self._on_key(key, False)

    def forget(self) -> None:
        """Know nothing, as before `rebuild`."""
        self.ranges.clear()
        self.called.clear()
        if self._counts is not None:
            self._counts.clear()

    def rewind(self) -> None:
        """What was written since the last flush is undone: so is the time that it brought.

        What was written while a flush was under way is not in it, so the time of such a flush counts from the next one on.
        """
        self.time = self._flushed_at = self._settled
        self._active_at = -inf
        self.touched = False

    def flushed(self, changes: Sequence[Change]) -> Iterable[Change]:  # noqa: ARG002
        """Keep no notes: the window stands in the key. But remember the time."""
        self._settled = self._flushed_at if self.unsent else self.time
        self._flushed_at = self.time
        return ()

    def replayed(self, changes: Sequence[Change], stamps: Mapping[bytes, int]) -> Iterable[Change]:  # noqa: ARG002
        """Keep no notes: the window stands in the key."""
        return ()

    def rebuild(
        self,
        keys: Iterable[bytes],
        notes: Iterable[tuple[bytes, bytes]],  # noqa: ARG002
    ) -> Iterator[None]:
        """Begin anew with all there is, in steps."""
        self.forget()
        counts = self._counts
        ranges = self.ranges
        for count, raw in enumerate(keys):
            window_range = self._codec.range_of(raw)
            there = ranges.get(window_range)
            if there is None:
                there = ranges[window_range] = {}
            if raw in there:
                continue
            there[raw] = None
            if counts is not None:
                key = self._codec.user_key_of(raw)
                counts[key] = counts.get(key, 0) + 1
            if not count % STEP:
                yield
        if ranges:
            self.time = max(self.time, *(start for start, _ in ranges))
            self._active_at = self.time

    # -- what has to go

    def ended(self, lateness: float) -> list[WindowRange]:
        """Return the ranges whose end is at least *lateness* seconds past, the first to end first."""
        limit = self.time - lateness
        closes_at = self._window.closes_at
        ended = [(end, each) for each in self.ranges if (end := closes_at(each)) <= limit]
        ended.sort()
        return [each for _, each in ended]

    def keys_of(self, window_range: WindowRange) -> list[bytes]:
        """Return the bytes of the keys that have a value in *window_range*."""
        return list(self.ranges.get(window_range, ()))

    def decode(
        self, tp: TP, window_range: WindowRange, raws: Collection[bytes]
    ) -> dict[bytes, WindowedKey]:
        """Decode some of `keys_of`, which are keys of *tp*; return them by their bytes.

        Raises:
            KeyDecodeError: Naming table, topic, partition and the bytes.
        """
        kept = self.ranges.get(window_range, {})
        keys = {raw: key for raw in raws if (key := kept.get(raw)) is not None}
        if len(keys) == len(raws):
            return keys
        return self._codec.keys_in(tp, window_range, raws)


class TtlIndex:
    """The age of the keys of one partition.

    Arguments:
        ttl: Seconds after its last change for which a key is kept.
        codec: Of the table.
        clock: Seconds since the epoch.
    """

    wants_stamps = True

    def __init__(self, ttl: float, codec: TableCodec, clock: Callable[[], float] = time) -> None:
        self.ttl = ttl
        self.clock = clock
        self._codec = codec
        self._changed: dict[bytes, float] = {}
        self._buckets: dict[int, dict[bytes, None]] = {}
        self.unnoted: dict[bytes, None] = {}
        """Keys that the store has no note of."""
        self._width = ttl / 10

    def __len__(self) -> int:
        return len(self._changed)

    def _touch(self, raw: bytes, when: float) -> None:
        if raw not in self._changed:
            self._wait(raw, when)
        self._changed[raw] = when

    def _wait(self, raw: bytes, when: float) -> None:
        self._buckets.setdefault(int((when + self.ttl) // self._width) + 1, {})[raw] = None

    def lacks(self, key: Any, raw: bytes) -> bool:  # noqa: ARG002 - what is not flushed is not known
        """Say that it is not known here which keys there are."""
        return False

    def added(self, key: Any, raw: bytes) -> None:
        """Nothing yet: what counts is when it is in the changelog."""

    def deleted(self, key: Any, raw: bytes | None = None) -> None:
        """Nothing yet: what counts is when it is in the changelog."""

    def deleted_all(self, keys: Mapping[bytes, Any]) -> None:
        """Nothing yet: what counts is when it is in the changelog."""

    def clear(self) -> None:
        """Nothing yet: what counts is when it is in the changelog."""

    def forget(self) -> None:
        """Know nothing, as before `rebuild`."""
        self._changed.clear()
        self._buckets.clear()
        self.unnoted.clear()

    def rewind(self) -> None:
        """Nothing: what is not in the changelog was not noted."""

    def flushed(self, changes: Sequence[Change]) -> Iterable[Change]:
        """Note the time of these changes."""
        return self._noted(changes, {}, self.clock())

    def replayed(self, changes: Sequence[Change], stamps: Mapping[bytes, int]) -> Iterable[Change]:
        """Note the time at which these changes were written."""
        return self._noted(changes, stamps, self.clock())

    def _noted(
        self, changes: Sequence[Change], stamps: Mapping[bytes, int], now: float
    ) -> list[Change]:
        notes: list[Change] = []
        for raw, value in changes:
            if value is None:
                self._changed.pop(raw, None)
                notes.append((raw, None))
                continue
            stamp = stamps.get(raw, -1)
            when = min(stamp / 1000, now) if stamp > 0 else now
            self._touch(raw, when)
            notes.append((raw, b"%d" % (when * 1000)))
        return notes

    def rebuild(
        self, keys: Iterable[bytes], notes: Iterable[tuple[bytes, bytes]]
    ) -> Iterator[None]:
        """Begin anew with all there is, in steps; keys without a note count as changed now."""
        changed = {raw: int(note) / 1000 for raw, note in notes}
        now = self.clock()
        self.forget()
        for count, raw in enumerate(keys):
            when = changed.get(raw)
            if when is None:
                self.unnoted[raw] = None
                when = now
            self._touch(raw, when)
            if not count % STEP:
                yield

    def missing_notes(self, limit: int) -> list[Change]:
        """Return, once, up to so many notes that the store does not have."""
        some = list(islice(self.unnoted, limit))
        for raw in some:
            del self.unnoted[raw]
        changed = self._changed
        return [(raw, b"%d" % (changed[raw] * 1000)) for raw in some if raw in changed]

    def is_due(self, raw: bytes) -> bool:
        """Say whether a key is too old."""
        return self._changed.get(raw, inf) + self.ttl <= self.clock()

    def due(self) -> list[bytes]:
        """Return the bytes of the keys that are too old; they wait for the next look until they are deleted."""
        now = self.clock()
        limit = int(now // self._width)
        due: list[bytes] = []
        for bucket in [number for number in self._buckets if number <= limit]:
            for raw in self._buckets.pop(bucket):
                when = self._changed.get(raw)
                if when is None:
                    continue
                if when + self.ttl <= now:
                    due.append(raw)
                    self._buckets.setdefault(limit + 1, {})[raw] = None
                else:
                    self._wait(raw, when)
        return due
