"""The options of a topic: Kafka's names and values, and which of them the embedded broker follows.

The others are kept and shown, and have no effect here: they are about replicas, segments and
quotas, which there are none of. So that a topic can be made by the same words on both brokers, none
of Kafka's names is refused; a name Kafka does not know is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from faust.exceptions import BrokerError

__all__ = ["TopicConfig", "check_config"]

_WITHOUT_EFFECT = frozenset(
    [
        "compression.gzip.level",
        "compression.lz4.level",
        "compression.type",
        "compression.zstd.level",
        "file.delete.delay.ms",
        "flush.messages",
        "flush.ms",
        "follower.replication.throttled.replicas",
        "index.interval.bytes",
        "leader.replication.throttled.replicas",
        "local.retention.bytes",
        "local.retention.ms",
        "max.compaction.lag.ms",
        "message.downconversion.enable",
        "message.format.version",
        "message.timestamp.after.max.ms",
        "message.timestamp.before.max.ms",
        "message.timestamp.difference.max.ms",
        "min.cleanable.dirty.ratio",
        "min.insync.replicas",
        "preallocate",
        "remote.log.copy.disable",
        "remote.log.delete.on.disable",
        "remote.storage.enable",
        "segment.bytes",
        "segment.index.bytes",
        "segment.jitter.ms",
        "segment.ms",
        "unclean.leader.election.enable",
    ]
)


class TopicConfig(NamedTuple):
    """What the broker follows. Times are in milliseconds, sizes in bytes; retention -1: no limit."""

    compact: bool = False
    delete: bool = True
    retention_ms: int = -1
    """Kafka's default is a week; here records stay until somebody says otherwise."""
    retention_bytes: int = -1
    delete_retention_ms: int = 86_400_000
    min_compaction_lag_ms: int = 0
    max_message_bytes: int = 1_048_588
    log_append_time: bool = False

    @classmethod
    def of(cls, config: Mapping[str, str]) -> TopicConfig:
        """Read the options of a topic, which `check_config` has seen."""
        policy = config.get("cleanup.policy", "delete")
        numbers = {name.replace(".", "_"): int(config[name]) for name in _NUMBERS if name in config}
        return cls(
            compact="compact" in policy,
            delete="delete" in policy,
            log_append_time=config.get("message.timestamp.type") == "LogAppendTime",
            **numbers,
        )


def _at_least(least: int) -> tuple[Callable[[str], bool], str]:
    def fits(value: str) -> bool:
        return value.removeprefix("-").isdecimal() and int(value) >= least

    return fits, f"a whole number, {least} or more"


def _is_policy(value: str) -> bool:
    return bool(value) and set(value.replace(" ", "").split(",")) <= {"compact", "delete"}


_NUMBERS = {
    "retention.ms": _at_least(-1),
    "retention.bytes": _at_least(-1),
    "delete.retention.ms": _at_least(0),
    "min.compaction.lag.ms": _at_least(0),
    "max.message.bytes": _at_least(0),
}
_FOLLOWED: dict[str, tuple[Callable[[str], bool], str]] = {
    "cleanup.policy": (_is_policy, "delete, compact or both with a comma between"),
    "message.timestamp.type": (
        lambda value: value in {"CreateTime", "LogAppendTime"},
        "CreateTime or LogAppendTime",
    ),
    **_NUMBERS,
}


def check_config(topic: str, config: Mapping[str, str]) -> None:
    """Refuse options that Kafka would refuse.

    Raises:
        BrokerError: A name is not known, or a value makes no sense; the message says which.
    """
    for name, value in config.items():
        if name in _WITHOUT_EFFECT:
            continue
        if name not in _FOLLOWED:
            raise BrokerError(f"topic {topic}: unknown option {name!r}; see Kafka's topic options")
        fits, wanted = _FOLLOWED[name]
        if not fits(value):
            raise BrokerError(f"topic {topic}: {name} is {value!r}, expected {wanted}")
