"""The admin operations themselves: requests, answers, retries. Everything here runs in the client thread.

Whatever passes by itself (a controller that moves, a leader being elected) is tried again until the request timeout is
over; then it is `BrokerUnavailable`, with the last reason. "Exists" and "is gone" mean: every broker that answers says
so. With several brokers the news takes a moment.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from typing import Any, TypeVar

from aiokafka import errors as kafka
from aiokafka.client import CoordinationType
from aiokafka.protocol.admin import (
    CreateTopicsRequest,
    DeleteRecordsRequest,
    DeleteTopicsRequest,
    DescribeConfigsRequest,
    DescribeGroupsRequest,
    ListGroupsRequest,
)
from aiokafka.protocol.commit import OffsetFetchRequest
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.protocol.offset import OffsetRequest

from faust.exceptions import (
    AuthorizationFailed,
    BrokerUnavailable,
    FaustError,
    ImproperlyConfigured,
    OffsetOutOfRange,
    UnknownTopic,
)
from faust.messages import TP
from faust.transport.base import (
    GroupDescription,
    TopicDescription,
    TopicOutcome,
    TopicSpec,
)
from faust.transport.drivers.aiokafka.client import Backoff, KafkaClient
from faust.transport.drivers.aiokafka.errors import is_passing, translate

__all__ = ["Operations"]

T = TypeVar("T")

TOPIC_RESOURCE = 2
SET_ON_TOPIC = 1
"""Where a setting comes from: DYNAMIC_TOPIC_CONFIG (KIP-226)."""
EARLIEST, LATEST = -2, -1

Rows = list[tuple[Any, ...]]


class Operations:
    """The operations, in the client thread."""

    connection: KafkaClient

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._refusal: FaustError | None = None

    def note_refusal(self, error: FaustError) -> None:
        """Remember that a broker refused our credentials."""
        self._refusal = error

    async def _persist(self, what: str, attempt: Callable[[], Awaitable[T | None]]) -> T:
        """Repeat *attempt* until it returns something; errors that pass are tried again."""
        deadline = time.monotonic() + self._timeout
        pauses = Backoff(0.02, 0.5)
        reason: object = "the brokers do not agree yet"
        while True:
            try:
                found = await attempt()
            except kafka.KafkaError as error:
                if not is_passing(error):
                    raise translate(error, what) from error
                reason = error
            else:
                if found is not None:
                    return found
            if self._refusal is not None:
                raise self._refusal
            if time.monotonic() > deadline:
                raise BrokerUnavailable(f"{what}: not done in {self._timeout:g} s: {reason}")
            await asyncio.sleep(pauses.next())

    def _budget(self) -> int:
        """Return how long a broker may work on one request, in milliseconds."""
        return round(min(self._timeout, 30.0) * 1000)

    async def _ask(self, request: Any) -> Any:
        answer = await self.connection.ask_any(request)
        if answer is None:
            raise kafka.NoBrokersAvailable
        return answer

    async def _ask_controller(self, request: Any) -> Any:
        controller = self.connection.cluster.controller
        if controller is None:
            return await self._ask(request)
        try:
            return await self.connection.send(controller.nodeId, request)
        except kafka.KafkaError:
            await self.connection.force_metadata_update()
            raise

    # -- topics

    async def create_topics(self, specs: list[TopicSpec]) -> dict[str, TopicOutcome]:
        """Create what is missing, wait until it can be used, compare what was there."""
        outcome: dict[str, TopicOutcome] = {}
        pending = {spec.name: spec for spec in specs}

        async def attempt() -> bool | None:
            request = CreateTopicsRequest(
                [
                    (s.name, s.partitions, s.replication, [], list(s.config.items()))
                    for s in pending.values()
                ],
                self._budget(),
                False,
            )
            answer = await self._ask_controller(request)
            again: type[kafka.KafkaError] | None = None
            for name, code, *message in answer.topic_errors:
                error = kafka.for_code(code)
                if error is kafka.NoError or error is kafka.TopicAlreadyExistsError:
                    del pending[name]
                    outcome[name] = TopicOutcome(created=error is kafka.NoError)
                elif error.retriable:
                    again = error
                else:
                    raise _creation_error(specs, name, error, message[0] if message else None)
            if again is not None:
                await self.connection.force_metadata_update()
                raise again
            return True

        await self._persist(f"cannot create topics {sorted(pending)}", attempt)
        await self._wait_usable([spec.name for spec in specs])
        there = [spec for spec in specs if not outcome[spec.name].created]
        if there:
            found = await self._describe([spec.name for spec in there], set_only=False)
            for spec in there:
                outcome[spec.name] = TopicOutcome(
                    created=False, differences=_differences(spec, found[spec.name])
                )
        return outcome

    async def _wait_usable(self, names: list[str]) -> None:
        """Wait until every broker that answers knows a leader for each partition."""

        async def attempt() -> bool | None:
            for rows in await self._everywhere(names):
                for name in names:
                    code, partitions = rows.get(name, (3, []))
                    if code or not partitions or any(row[2] < 0 for row in partitions):
                        return None
            return True

        await self._persist(f"waiting for the leaders of topics {names}", attempt)

    async def _everywhere(self, names: list[str]) -> list[dict[str, tuple[int, Rows]]]:
        """Ask every broker that answers about topics."""
        found = []
        await self.connection.force_metadata_update()
        for broker in self.connection.cluster.brokers():
            request = MetadataRequest(names, False)
            try:
                answer = await self.connection.send(broker.nodeId, request)
            except kafka.KafkaError as error:
                if not is_passing(error):
                    raise
                continue
            found.append({name: (code, rows) for code, name, _internal, rows in answer.topics})
        if not found:
            raise kafka.NoBrokersAvailable
        return found

    async def list_topics(self) -> list[str]:
        """Return the names of all topics but the broker's own."""

        async def attempt() -> list[str]:
            answer = await self._ask(MetadataRequest(None, False))
            return sorted(
                name
                for code, name, internal, _ in answer.topics
                if not internal and not name.startswith("__")
                if code == 0 or kafka.for_code(code).retriable
            )

        return await self._persist("cannot list topics", attempt)

    async def describe_topics(self, names: list[str]) -> dict[str, TopicDescription | None]:
        """Describe topics, with what is set on them."""
        return await self._describe(names, set_only=True)

    async def _describe(
        self, names: list[str], *, set_only: bool
    ) -> dict[str, TopicDescription | None]:
        async def attempt() -> dict[str, TopicDescription | None]:
            answer = await self._ask(MetadataRequest(names, False))
            found: dict[str, TopicDescription | None] = dict.fromkeys(names)
            known = []
            for code, name, internal, rows in answer.topics:
                error = kafka.for_code(code)
                if error is kafka.NoError:
                    known.append((name, bool(internal), rows))
                elif error is not kafka.UnknownTopicOrPartitionError:
                    raise error(name)
            configs = await self._configs([name for name, _, _ in known], set_only=set_only)
            for name, internal, rows in known:
                found[name] = TopicDescription(
                    name,
                    tuple(sorted(row[1] for row in rows)),
                    min((len(row[3]) for row in rows), default=0),
                    configs.get(name, {}),
                    internal,
                )
            return found

        return await self._persist(f"cannot describe topics {names}", attempt)

    async def _configs(self, names: list[str], *, set_only: bool) -> dict[str, dict[str, str]]:
        if not names:
            return {}
        answer = await self._ask(
            DescribeConfigsRequest([(TOPIC_RESOURCE, name, None) for name in names])
        )
        configs: dict[str, dict[str, str]] = {}
        for code, message, _kind, name, entries in answer.resources:
            error = kafka.for_code(code)
            if error is kafka.UnknownTopicOrPartitionError:
                continue  # deleted since
            if error is not kafka.NoError:
                raise error(f"settings of topic {name}: {message or error.message}")
            configs[name] = {
                key: value
                for key, value, _read_only, source, _sensitive, *_ in entries
                if value is not None and (source == SET_ON_TOPIC or not set_only)
            }
        return configs

    async def delete_topics(self, names: list[str]) -> None:
        """Delete topics and wait until they are gone."""
        pending = set(names)

        async def attempt() -> bool | None:
            answer = await self._ask_controller(
                DeleteTopicsRequest(sorted(pending), self._budget())
            )
            for name, code in answer.topic_error_codes:
                error = kafka.for_code(code)
                if error in (kafka.NoError, kafka.UnknownTopicOrPartitionError):
                    pending.discard(name)
                elif not error.retriable:
                    raise translate(error(), f"cannot delete topic {name}")
            return None if pending else True

        await self._persist(f"cannot delete topics {sorted(names)}", attempt)

        async def gone() -> bool | None:
            for rows in await self._everywhere(names):
                if any(rows.get(name, (3, []))[0] == 0 for name in names):
                    return None
            return True

        await self._persist(f"waiting for topics {sorted(names)} to be gone", gone)

    # -- partitions

    async def _by_leader(self, tps: Collection[TP]) -> dict[int, dict[str, list[int]]]:
        answer = await self._ask(MetadataRequest(sorted({tp.topic for tp in tps}), False))
        leaders: dict[TP, int] = {}
        for code, name, _internal, rows in answer.topics:
            error = kafka.for_code(code)
            if error is kafka.UnknownTopicOrPartitionError:
                raise UnknownTopic(f"topic {name} does not exist")
            if error is not kafka.NoError:
                raise error(name)
            leaders |= {TP(name, row[1]): row[2] for row in rows}
        nodes: dict[int, dict[str, list[int]]] = {}
        for tp in tps:
            if tp not in leaders:
                raise UnknownTopic(f"topic {tp.topic} has no partition {tp.partition}")
            if leaders[tp] < 0:
                raise kafka.LeaderNotAvailableError
            nodes.setdefault(leaders[tp], {}).setdefault(tp.topic, []).append(tp.partition)
        if nodes.keys() - {broker.nodeId for broker in self.connection.cluster.brokers()}:
            await self.connection.force_metadata_update()
        return nodes

    async def delete_records(self, before: dict[TP, int]) -> None:
        """Move log starts forward."""
        pending = dict(before)

        async def attempt() -> bool | None:
            for node, topics in (await self._by_leader(pending)).items():
                wanted = [
                    (topic, [(number, pending[TP(topic, number)]) for number in numbers])
                    for topic, numbers in topics.items()
                ]
                answer = await self.connection.send(
                    node, DeleteRecordsRequest(wanted, self._budget())
                )
                for topic, partitions, *_tags in answer.topics:
                    for number, _low, code, *_ in partitions:
                        tp = TP(topic, number)
                        error = kafka.for_code(code)
                        if error is kafka.NoError:
                            del pending[tp]
                        elif error is kafka.OffsetOutOfRangeError:
                            raise OffsetOutOfRange(
                                f"cannot delete the records of {topic}[{number}] before {pending[tp]}: "
                                "the log ends before that offset"
                            )
                        elif not error.retriable:
                            raise translate(error(), f"cannot delete records of {topic}[{number}]")
            return None if pending else True

        await self._persist(f"cannot delete records of {sorted(before)}", attempt)

    async def offsets(self, tps: list[TP]) -> dict[TP, tuple[int, int]]:
        """Return log start and next offset of partitions."""

        async def attempt() -> dict[TP, tuple[int, int]]:
            bounds: dict[int, dict[TP, int]] = {EARLIEST: {}, LATEST: {}}
            for node, topics in (await self._by_leader(tps)).items():
                for which, found in bounds.items():
                    wanted = [(t, [(n, which) for n in numbers]) for t, numbers in topics.items()]
                    answer = await self.connection.send(node, OffsetRequest(-1, 0, wanted))
                    for topic, partitions in answer.topics:
                        for number, code, _time, offset in partitions:
                            error = kafka.for_code(code)
                            if error is not kafka.NoError:
                                raise error(f"{topic}[{number}]")
                            found[TP(topic, number)] = offset
            return {tp: (bounds[EARLIEST][tp], bounds[LATEST][tp]) for tp in tps}

        return await self._persist(f"cannot look up offsets of {tps}", attempt)

    # -- groups

    async def list_groups(self) -> list[str]:
        """Ask every broker for the groups it coordinates."""

        async def attempt() -> list[str]:
            found: set[str] = set()
            await self.connection.force_metadata_update()
            for broker in self.connection.cluster.brokers():
                answer = await self.connection.send(broker.nodeId, ListGroupsRequest())
                error = kafka.for_code(answer.error_code)
                if error is not kafka.NoError:
                    raise error("list groups")
                found.update(name for name, kind, *_ in answer.groups if kind in {"consumer", ""})
            return sorted(found)

        return await self._persist("cannot list groups", attempt)

    async def describe_group(self, group_id: str) -> GroupDescription:
        """Ask the coordinator of a group about it."""

        async def attempt() -> GroupDescription:
            node = await self.connection.coordinator_lookup(CoordinationType.GROUP, group_id)
            answer = await self.connection.send(node, DescribeGroupsRequest([group_id]))
            code, _name, state, _kind, _protocol, members, *_ = answer.groups[0]
            error = kafka.for_code(code)
            if error is kafka.GroupIdNotFound:
                return GroupDescription(group_id, "Dead", (), {})
            if error is not kafka.NoError:
                raise error(group_id)
            committed = await self.connection.send(node, OffsetFetchRequest(group_id, None))
            error = kafka.for_code(committed.error_code)
            if error is not kafka.NoError:
                raise error(group_id)
            offsets = {
                TP(topic, number): offset
                for topic, partitions in committed.topics
                for number, offset, *_ in partitions
                if offset >= 0
            }
            return GroupDescription(
                group_id, state, tuple(sorted(member[0] for member in members)), offsets
            )

        return await self._persist(f"cannot describe group {group_id}", attempt)


def _creation_error(
    specs: list[TopicSpec], name: str, error: type[Any], message: str | None
) -> FaustError:
    spec = next(spec for spec in specs if spec.name == name)
    reason = message or error.description or error.message
    what = (
        f"cannot create topic {name} ({spec.partitions} partitions, replication {spec.replication}, "
        f"config {dict(spec.config)}): {reason}"
    )
    if error in (kafka.TopicAuthorizationFailedError, kafka.ClusterAuthorizationFailedError):
        return AuthorizationFailed(f"{what}; give this user the ACL CREATE, or create the topic")
    return ImproperlyConfigured(what)


def _differences(spec: TopicSpec, found: TopicDescription | None) -> tuple[str, ...]:
    """Say in what a topic that was there already is not as wanted."""
    if found is None:
        return ("existence: wanted to be there, was deleted meanwhile",)
    told = []
    if len(found.partitions) != spec.partitions:
        told.append(f"partitions: wanted {spec.partitions}, has {len(found.partitions)}")
    if spec.replication > 0 and found.replication != spec.replication:
        told.append(f"replication: wanted {spec.replication}, has {found.replication}")
    for key, wanted in spec.config.items():
        has = found.config.get(key)
        if has is None or _listed(has) != _listed(str(wanted)):
            told.append(f"{key}: wanted {wanted}, has {has}")
    return tuple(told)


def _listed(value: str) -> list[str]:
    """Some settings are lists, whose order does not matter."""
    return sorted(part.strip() for part in value.split(","))
