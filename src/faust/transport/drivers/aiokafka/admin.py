"""The admin client of ``kafka://``: topics, records and groups.

Requests go out through the driver's own connection rather than `aiokafka.admin.AIOKafkaAdminClient`, which answers
with raw structures and retries nothing. Whatever passes by itself (a controller that moves, a leader being elected)
is tried again until the request timeout is over; then it is `BrokerUnavailable`, with the last reason.

"Exists" and "is gone" mean: every broker that answers says so. With several brokers the news takes a moment.
"""

from __future__ import annotations

import asyncio
import logging
import random
import re
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
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
    BrokerError,
    BrokerUnavailable,
    FaustError,
    ImproperlyConfigured,
    OffsetOutOfRange,
    UnknownTopic,
)
from faust.messages import TP
from faust.transport.base import (
    AdminDriver,
    DriverState,
    GroupDescription,
    TopicDescription,
    TopicOutcome,
    TopicSpec,
)
from faust.transport.drivers.aiokafka.client import Backoff, KafkaClient
from faust.transport.drivers.aiokafka.credentials import client_security
from faust.transport.drivers.aiokafka.errors import is_passing, translate
from faust.transport.drivers.aiokafka.thread import ClientThread

__all__ = ["Admin"]

logger = logging.getLogger(__name__)

T = TypeVar("T")

TOPIC_RESOURCE = 2
SET_ON_TOPIC = 1
"""Where a setting comes from: DYNAMIC_TOPIC_CONFIG (KIP-226)."""
EARLIEST, LATEST = -2, -1
_NAME = re.compile(r"[a-zA-Z0-9._-]{1,249}")

Rows = list[tuple[Any, ...]]


class Admin(AdminDriver):
    """See `AdminDriver`.

    Arguments:
        servers: ``host:port`` of the bootstrap servers.
        thread: Where the client lives.
        client_id: Name in the broker's logs and quotas.
        request_timeout: Seconds after which an operation gives up.
        credentials: See `credentials.client_security`.
    """

    def __init__(
        self,
        servers: list[str],
        thread: ClientThread,
        *,
        client_id: str,
        request_timeout: float,
        credentials: Any,
    ) -> None:
        self.state = DriverState()
        self._servers = servers
        self._thread = thread
        self._client_id = client_id
        self._timeout = request_timeout
        self._credentials = credentials
        self._work: _AdminClient | None = None

    async def start(self) -> None:
        """Connect; raises `BrokerUnavailable` after the request timeout, `AuthenticationFailed` at once."""
        if self._work is None:
            self._thread.hold()
            try:
                self._work = await self._thread.call(self._connect())
            except BaseException:
                self._thread.release()
                raise

    async def _connect(self) -> _AdminClient:
        """Client thread."""
        client = _AdminClient(self._timeout)
        client.connection = KafkaClient(
            self._servers,
            state=self.state,
            name=f"admin {self._client_id}",
            refused=client.note_refusal,
            client_id=self._client_id,
            request_timeout_ms=round(self._timeout * 1000),
            retry_backoff_ms=random.randint(80, 120),
            **client_security(self._credentials),
        )
        try:
            await client.connection.connect(self._timeout)
        except BaseException:
            await client.connection.close()
            raise
        return client

    async def close(self) -> None:
        """End."""
        work, self._work = self._work, None
        if work is not None:
            try:
                async with asyncio.timeout(5.0):
                    await self._thread.call(work.connection.close())
            except TimeoutError:
                logger.warning("the Kafka admin client did not end in 5 s")
            finally:
                self._thread.release()
                self.state.connected = False

    async def _do(self, method: Callable[..., Coroutine[Any, Any, T]], *arguments: Any) -> T:
        if self._work is None:
            raise BrokerError("the admin client is not started")
        return await self._thread.call(method(self._work, *arguments))

    async def create_topics(self, specs: Sequence[TopicSpec]) -> dict[str, TopicOutcome]:
        """Create what is missing; say what differs of what is there."""
        for spec in specs:
            if _NAME.fullmatch(spec.name) is None or spec.name in {".", ".."}:
                raise ImproperlyConfigured(
                    f"topic name {spec.name!r}: expected 1 to 249 letters, digits, dots, underscores and hyphens"
                )
            if spec.partitions < 1:
                raise ImproperlyConfigured(
                    f"topic {spec.name}: {spec.partitions} partitions, expected at least 1"
                )
        return await self._do(_AdminClient.create_topics, list(specs)) if specs else {}

    async def list_topics(self) -> list[str]:
        """Return the names of all topics, sorted; internal ones left out."""
        return await self._do(_AdminClient.list_topics)

    async def describe_topics(self, names: Collection[str]) -> dict[str, TopicDescription | None]:
        """Describe topics; their ``config`` holds what is set on the topic, not the broker's defaults."""
        return await self._do(_AdminClient.describe_topics, list(names)) if names else {}

    async def delete_topics(self, names: Collection[str]) -> None:
        """Delete topics with their records."""
        if names:
            await self._do(_AdminClient.delete_topics, list(names))

    async def delete_records(self, before: Mapping[TP, int]) -> None:
        """Move the log start forward."""
        if before:
            await self._do(_AdminClient.delete_records, dict(before))

    async def offsets(self, tps: Collection[TP]) -> dict[TP, tuple[int, int]]:
        """Return log start and next offset of partitions."""
        return await self._do(_AdminClient.offsets, [TP(*tp) for tp in tps]) if tps else {}

    async def list_groups(self) -> list[str]:
        """Return the names of all consumer groups, sorted."""
        return await self._do(_AdminClient.list_groups)

    async def describe_group(self, group_id: str) -> GroupDescription:
        """Describe one group; one that nobody knows is ``Dead``."""
        return await self._do(_AdminClient.describe_group, group_id)


class _AdminClient:
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
