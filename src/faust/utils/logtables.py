"""Partitions in log lines, as tables.

A log call with a set, list or mapping of topic partitions as an argument (``log.info("Assigned: %s", partitions)``)
shows it as a table, in which the partitions of a topic are one row::

    +Topic Partition Set--+
    | topic | partitions  |
    +-------+-------------+
    | posts | {1-3, 7, 9} |
    +-------+-------------+
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from itertools import groupby
from typing import Any

from faust.utils.terminal import Table

__all__ = ["ranges", "shown"]


def shown(args: Any) -> Any:
    """Return the arguments of a log record, with tables in the place of partitions; the same object if there are none."""
    if isinstance(args, Mapping):  # the only argument of the call was a mapping
        table = _table_of(args)
        return args if table is None else (table,)
    if not any(isinstance(arg, Collection) and not isinstance(arg, str) for arg in args):
        return args
    tables = [_table_of(arg) for arg in args]
    return tuple(arg if table is None else table for arg, table in zip(args, tables, strict=True))


def ranges(numbers: Iterable[int]) -> str:
    """Write numbers in order, neighbours as ranges: ``{1-3, 7, 9-10}``."""
    ordered = enumerate(sorted(set(numbers)))
    runs = [[n for _, n in run] for _, run in groupby(ordered, key=lambda pair: pair[1] - pair[0])]
    texts = (str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
    return f"{{{', '.join(texts)}}}"


def _is_partition(thing: Any) -> bool:
    """Know a `faust.TP`, and whatever other libraries call a topic partition."""
    return isinstance(thing, tuple) and getattr(thing, "_fields", None) == ("topic", "partition")


def _table_of(arg: Any) -> str | None:
    if not isinstance(arg, set | frozenset | list | tuple | Mapping) or not arg:
        return None
    if not all(map(_is_partition, arg)):
        return None
    if isinstance(arg, Mapping):
        rows = [(tp.topic, tp.partition, arg[tp]) for tp in sorted(arg)]
        headers, title = ("topic", "partition", "value"), "Topic Partition Map"
        return f"\n{Table(rows, headers, title)}"
    by_topic = groupby(sorted(arg), key=lambda tp: tp.topic)
    sets = [(topic, ranges(tp.partition for tp in tps)) for topic, tps in by_topic]
    return f"\n{Table(sets, ('topic', 'partitions'), 'Topic Partition Set')}"
