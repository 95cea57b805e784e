"""In which order fetched records reach the streams: what setting ``ConsumerScheduler`` replaces.

What the driver hands over in one go is *one poll*: slices of several partitions. By default slices go into the inboxes of their
streams, which take turns among topics and partitions (`faust._core.scheduling`). A strategy of one's own decides instead, record by
record: `Arrangement` gives it all records of a poll, and cuts what comes back into slices again. Streams then read in the order
of arrival. That costs a slice per change of partition, which is the price of the choice.

The order inside a partition is no matter of taste: offsets are committed by it. A strategy that loses, doubles or swaps records of
one partition is found out, and the worker stops.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from faust._core.scheduling import RoundRobin
from faust.exceptions import ImproperlyConfigured
from faust.messages import TP, Slice

__all__ = ["Arrangement", "DefaultSchedulingStrategy", "SchedulingStrategy", "without_headers"]


class SchedulingStrategy(Protocol):
    """What setting ``ConsumerScheduler`` may be: a class that is made without arguments."""

    def iterate(self, records: Mapping[TP, Sequence[Any]]) -> Iterator[tuple[TP, Any]]:
        """Yield every one of *records* with its partition; of one partition in the order given.

        A record has ``offset``, ``timestamp`` (milliseconds), ``key``, ``value`` and ``headers``; both are bytes.
        """
        ...


class DefaultSchedulingStrategy(RoundRobin):
    """Topics in turn, and the partitions of a topic in turn: the base of strategies of one's own."""


class Arrangement:
    """Puts the records of one poll into the order of a strategy.

    Arguments:
        strategy: The strategy.
    """

    def __init__(self, strategy: SchedulingStrategy) -> None:
        self.strategy = strategy

    def __call__(self, slices: Sequence[Slice]) -> list[Slice]:
        """Return *slices*, cut and put into order.

        Raises:
            ImproperlyConfigured: The strategy has not yielded the records of a partition in their order, each once.
        """
        given: dict[TP, list[Any]] = {}
        sources: dict[TP, list[tuple[int, Slice]]] = {}
        for one in slices:
            records = given.setdefault(one.tp, [])
            records.extend(one.records)
            sources.setdefault(one.tp, []).append((len(records), one))
        taken = dict.fromkeys(given, 0)
        arranged: list[Slice] = []
        for tp, record in self.strategy.iterate({tp: list(rs) for tp, rs in given.items() if rs}):
            place = taken.get(tp, 0)
            records = given.get(tp, [])
            if place >= len(records) or records[place] is not record:
                raise self._disorder(tp, record)
            taken[tp] = place + 1
            self._add(arranged, sources[tp], place, record)
        lost = [tp for tp, records in given.items() if taken[tp] != len(records)]
        if lost:
            raise self._disorder(lost[0], given[lost[0]][taken[lost[0]]])
        reached = {one.tp: one.next_offset for one in arranged}
        empty = (one for one in slices if not one.records)
        return arranged + [one for one in empty if one.next_offset > reached.get(one.tp, -1)]

    @staticmethod
    def _add(
        arranged: list[Slice], sources: list[tuple[int, Slice]], place: int, record: Any
    ) -> None:
        """Add a record to the last slice, or begin another."""
        while place >= sources[0][0]:
            del sources[0]
        end, source = sources[0]
        after = source.next_offset if place + 1 == end else record.offset + 1
        last = arranged[-1] if arranged else None
        if last is not None and last.tp == source.tp and last.generation == source.generation:
            last.records.append(record)  # type: ignore[attr-defined]  # a list of ours
            last.next_offset = after
        else:
            arranged.append(Slice(source.tp, source.generation, [record], after))

    def _disorder(self, tp: TP, record: Any) -> ImproperlyConfigured:
        offset = getattr(record, "offset", record)
        return ImproperlyConfigured(
            f"setting 'ConsumerScheduler': {type(self.strategy).__qualname__}.iterate must yield every record of a partition "
            f"once and in order; it did not at {tp.topic}[{tp.partition}] offset {offset}"
        )


class _Headless:
    """A record without its headers."""

    __slots__ = ("_record", "offset")

    headers: tuple[tuple[str, bytes], ...] = ()

    def __init__(self, record: Any) -> None:
        self._record = record
        self.offset: int = record.offset

    def __getattr__(self, name: str) -> Any:
        return getattr(self._record, name)


def without_headers(slices: Iterable[Slice]) -> list[Slice]:
    """Return *slices* as consumers of a protocol before 0.11 get them."""
    return [
        Slice(one.tp, one.generation, [_Headless(r) for r in one.records], one.next_offset)
        for one in slices
    ]
