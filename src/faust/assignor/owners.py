"""The map of the group, packed: who is active for which partition.

Every member gets the whole map, since any of them may be asked where a key is. The wire of faust-streaming spells it
out: URL, topic, list of numbers, again for each topic. But topics of one co-partition group are divided alike, and a
partition has one owner, so it is enough to say, once for all of them, the index of the owner of each partition. With 200
members and 2,000 partitions that is less than half the size once both are compressed, and near to what the division
itself holds of information.

Of the topics of global tables every worker has everything, and only that is said. What fits neither way stays as it was.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, TypeAlias

import msgspec

__all__ = ["Distribution", "Layout", "OwnersMap", "pack", "unpack"]

Distribution: TypeAlias = dict[str, dict[str, list[int]]]
"""URL of a worker -> topic -> its active partitions."""


class Layout(msgspec.Struct, omit_defaults=True):
    """How topics are divided that are divided alike.

    Attributes:
        owners: For each partition the index of its owner's URL; one byte each, or two (the low one first) where there
            are too many URLs. The highest number stands for nobody.
        everybody: So many partitions, from 0 on, belong to every member; there are no owners then.
        changelogs: Changelog topics that are divided so.
        externals: Other topics that are.
        members: Indices of the URLs of those who read these topics; None: all.
    """

    owners: bytes = b""
    everybody: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0
    changelogs: list[str] = []
    externals: list[str] = []
    members: list[int] | None = None


class OwnersMap(msgspec.Struct):
    """The map of the group, as far as partitions have one owner each, or belong to all."""

    urls: list[str]
    layouts: list[Layout]


def pack(
    changelogs: Mapping[str, Mapping[str, Sequence[int]]],
    externals: Mapping[str, Mapping[str, Sequence[int]]],
) -> tuple[OwnersMap, Distribution, Distribution]:
    """Pack two distributions of the same URLs.

    Returns:
        The packed map, and what is left of the two.
    """
    urls = list(changelogs)
    layouts: dict[tuple[bytes, int, tuple[int, ...]], Layout] = {}
    rests: list[Distribution] = []
    for kind, distribution in (("changelogs", changelogs), ("externals", externals)):
        rest: Distribution = {}
        rests.append(rest)
        for topic in dict.fromkeys(topic for topics in distribution.values() for topic in topics):
            held = {
                index: distribution[url][topic]
                for index, url in enumerate(urls)
                if topic in distribution[url]
            }
            owners, everybody = _divided(held, len(urls))
            if owners is None:
                for index, numbers in held.items():
                    rest.setdefault(urls[index], {})[topic] = list(numbers)
                continue
            members = None if len(held) == len(urls) else list(held)
            layout = layouts.setdefault(
                (owners, everybody, tuple(held)), Layout(owners, everybody, [], [], members)
            )
            (layout.changelogs if kind == "changelogs" else layout.externals).append(topic)
    return OwnersMap(urls, list(layouts.values())), rests[0], rests[1]


def unpack(packed: OwnersMap) -> tuple[Distribution, Distribution]:
    """Return the distributions of changelogs and of other topics.

    Raises:
        ValueError: It contradicts itself.
    """
    urls = packed.urls
    changelogs: Distribution = {url: {} for url in urls}
    externals: Distribution = {url: {} for url in urls}
    for layout in packed.layouts:
        members = range(len(urls)) if layout.members is None else layout.members
        held = {index: list(range(layout.everybody)) for index in members}
        for number, owner in _numbered(layout.owners, len(urls)):
            if owner not in held:
                raise ValueError(f"partition {number} has an owner who is none of the members")
            held[owner].append(number)
        for index, numbers in held.items():
            if not 0 <= index < len(urls):
                raise ValueError(f"there is no member {index} among {len(urls)}")
            changelogs[urls[index]].update((topic, list(numbers)) for topic in layout.changelogs)
            externals[urls[index]].update((topic, list(numbers)) for topic in layout.externals)
    return changelogs, externals


def _divided(held: Mapping[int, Sequence[int]], count: int) -> tuple[bytes | None, int]:
    """Return the owner of each partition, or that so many belong to everybody; None where it is neither."""
    form, nobody = _form(count)
    length = 1 + max((max(numbers, default=-1) for numbers in held.values()), default=-1)
    owners = [nobody] * length
    for index, numbers in held.items():
        for number in numbers:
            if owners[number] != nobody:
                alike = all(list(each) == list(range(length)) for each in held.values())
                return (b"", length) if alike else (None, 0)
            owners[number] = index
    return struct.pack(f"<{length}{form}", *owners), 0


def _numbered(raw: bytes, count: int) -> Iterable[tuple[int, int]]:
    """Return the partitions that have an owner, with its index."""
    form, nobody = _form(count)
    length, rest = divmod(len(raw), struct.calcsize(f"<{form}"))
    if rest:
        raise ValueError(f"{len(raw)} bytes are no list of owners among {count}")
    owners = struct.unpack(f"<{length}{form}", raw)
    return ((number, owner) for number, owner in enumerate(owners) if owner != nobody)


def _form(count: int) -> tuple[str, int]:
    """Return the form of an index among *count* URLs (of `struct`), and what stands for nobody."""
    return ("B", 0xFF) if count < 0xFF else ("H", 0xFFFF)
