"""What members of a group and its leader send each other, byte for byte.

One JSON object goes both ways: as it is in a member's subscription, compressed with zlib in the
leader's answer. Field names and their order are those that faust-streaming workers use (strategy
``faust``, version 4), so that workers of both kinds can be members of one group, and either kind
can lead it.

One field is ours: ``catching_up``, which the leader of a group with mixed workers ignores when it is an old one.

In a subscription otherwise only ``assignment`` and ``url`` are said; the leader takes the rest from nobody
(old leaders neither), and repeating the whole cluster's map in every subscription would make
joining quadratic in the number of members.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import msgspec

__all__ = [
    "Distribution",
    "Holdings",
    "MemberData",
    "SharedData",
    "WireError",
    "decode_assignment",
    "decode_subscription",
    "encode_assignment",
    "encode_subscription",
]

Distribution: TypeAlias = dict[str, dict[str, list[int]]]
"""URL of a worker -> topic -> its active partitions."""


class WireError(ValueError):
    """User data from a group that is not what it should be."""


class Holdings(msgspec.Struct):
    """Partitions by topic, in both roles."""

    actives: dict[str, list[int]] = {}
    standbys: dict[str, list[int]] = {}


class MemberData(msgspec.Struct):
    """All that is said, in the order in which it is written."""

    assignment: Holdings
    url: str
    changelog_distribution: Distribution = {}
    external_topic_distribution: Distribution = {}
    topic_groups: dict[str, int] = {}
    catching_up: dict[str, list[int]] = {}
    """In a subscription: standbys that are far from the end of their changelogs; left out when there are none."""


class SharedData:
    """What the leader tells all members alike; encoded once."""

    __slots__ = ("changelogs", "externals", "groups")

    def __init__(
        self,
        changelogs: Mapping[str, Mapping[str, Sequence[int]]],
        externals: Mapping[str, Mapping[str, Sequence[int]]],
        groups: Mapping[str, int],
    ) -> None:
        self.changelogs: msgspec.Raw = msgspec.Raw(msgspec.json.encode(changelogs))
        self.externals: msgspec.Raw = msgspec.Raw(msgspec.json.encode(externals))
        self.groups: msgspec.Raw = msgspec.Raw(msgspec.json.encode(groups))


class _Answer(msgspec.Struct):
    """`MemberData` with the shared part encoded already."""

    assignment: Holdings
    url: str
    changelog_distribution: msgspec.Raw
    external_topic_distribution: msgspec.Raw
    topic_groups: msgspec.Raw


_decoder = msgspec.json.Decoder(MemberData)


def encode_subscription(
    holdings: Holdings, url: str, catching_up: Mapping[str, Sequence[int]] | None = None
) -> bytes:
    """Encode what a member says when it joins: what it held last, its URL, and which standbys are not warm."""
    plain = msgspec.to_builtins(MemberData(holdings, url))
    if not catching_up:
        del plain["catching_up"]
    else:
        plain["catching_up"] = catching_up
    return msgspec.json.encode(plain)


def decode_subscription(data: bytes) -> MemberData:
    """Decode what a member said.

    Raises:
        WireError: naming the field that is wrong.
    """
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise WireError(f"{exc} (first bytes: {data[:80]!r})") from exc


def encode_assignment(holdings: Holdings, url: str, shared: SharedData) -> bytes:
    """Encode what the leader tells one member."""
    answer = _Answer(holdings, url, shared.changelogs, shared.externals, shared.groups)
    return zlib.compress(msgspec.json.encode(answer))


def decode_assignment(data: bytes) -> MemberData:
    """Decode what the leader said.

    Raises:
        WireError: the data is not compressed, or as for `decode_subscription`.
    """
    try:
        plain = zlib.decompress(data)
    except zlib.error as exc:
        raise WireError(f"{exc} (first bytes: {data[:80]!r})") from exc
    return decode_subscription(plain)
