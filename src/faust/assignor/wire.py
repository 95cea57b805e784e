"""What members of a group and its leader send each other, byte for byte.

One JSON object goes both ways: as it is in a member's subscription, compressed with zlib in the
leader's answer. Field names and their order are those that faust-streaming workers use (strategy
``faust``, version 4), so that workers of both kinds can be members of one group, and either kind
can lead it.

Three fields are ours, and faust-streaming ignores them: in a subscription ``catching_up``, and ``compact``, by which a
member says that it understands the third one, ``owners`` of an answer: the maps of the group, packed
(`faust.assignor.owners`). Who does not say so gets the maps as faust-streaming writes them.

In a subscription otherwise only ``assignment`` and ``url`` are said; the leader takes the rest from nobody
(old leaders neither), and repeating the whole cluster's map in every subscription would make
joining quadratic in the number of members.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from functools import cached_property

import msgspec

from faust.assignor.owners import Distribution, OwnersMap, pack, unpack

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
    compact: bool = False
    """In a subscription: the member understands ``owners``."""
    owners: OwnersMap | None = None
    """In an answer: what the two distributions leave out."""


class SharedData:
    """What the leader tells all members alike; encoded once, or twice where some do not understand the packed maps."""

    def __init__(
        self,
        changelogs: Mapping[str, Mapping[str, Sequence[int]]],
        externals: Mapping[str, Mapping[str, Sequence[int]]],
        groups: Mapping[str, int],
    ) -> None:
        self._changelogs = changelogs
        self._externals = externals
        self._groups = groups

    @cached_property
    def plain(self) -> dict[str, msgspec.Raw]:
        """The maps spelled out."""
        return _encoded(
            changelog_distribution=self._changelogs,
            external_topic_distribution=self._externals,
            topic_groups=self._groups,
        )

    @cached_property
    def packed(self) -> dict[str, msgspec.Raw]:
        """The maps packed."""
        owners, changelogs, externals = pack(self._changelogs, self._externals)
        return _encoded(
            changelog_distribution=changelogs,
            external_topic_distribution=externals,
            topic_groups=self._groups,
            owners=owners,
        )


def _encoded(**fields: object) -> dict[str, msgspec.Raw]:
    return {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in fields.items()}


_decoder = msgspec.json.Decoder(MemberData)


def encode_subscription(
    holdings: Holdings, url: str, catching_up: Mapping[str, Sequence[int]] | None = None
) -> bytes:
    """Encode what a member says when it joins: what it held last, its URL, and which standbys are not warm."""
    plain = msgspec.to_builtins(MemberData(holdings, url, compact=True))
    del plain["owners"]
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


def encode_assignment(
    holdings: Holdings, url: str, shared: SharedData, *, compact: bool = False
) -> bytes:
    """Encode what the leader tells one member; *compact*: it has said that it understands packed maps."""
    answer = {"assignment": holdings, "url": url, **(shared.packed if compact else shared.plain)}
    return zlib.compress(msgspec.json.encode(answer))


def decode_assignment(data: bytes) -> MemberData:
    """Decode what the leader said; maps that were packed are spelled out again.

    Raises:
        WireError: the data is not compressed, or as for `decode_subscription`, or the packed maps contradict themselves.
    """
    try:
        plain = zlib.decompress(data)
    except zlib.error as exc:
        raise WireError(f"{exc} (first bytes: {data[:80]!r})") from exc
    said = decode_subscription(plain)
    if said.owners is not None:
        try:
            changelogs, externals = unpack(said.owners)
        except ValueError as exc:
            raise WireError(f"owners: {exc}") from exc
        said.owners = None
        said.changelog_distribution = _merged(changelogs, said.changelog_distribution)
        said.external_topic_distribution = _merged(externals, said.external_topic_distribution)
    return said


def _merged(packed: Distribution, rest: Distribution) -> Distribution:
    for url, topics in rest.items():
        packed.setdefault(url, {}).update(topics)
    return packed
