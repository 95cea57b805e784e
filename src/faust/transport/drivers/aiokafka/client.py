"""Connections to the brokers: aiokafka's client, made to tell what it sees.

What is added to `AIOKafkaClient`:

* a refused password or permission reaches the driver at once instead of looking like a lost connection (C14);
* attempts to reconnect are spaced per node, growing and jittered (0.05 to 1 s), for ever (C13), and when no known node
  answers the bootstrap servers are asked again (KIP-899), so a cluster may change all its addresses;
* `DriverState` and the log tell of it: the first time, then at growing intervals, and when it is over;
* fetches have a connection of their own: the broker answers one connection in order, and a fetch that waits for data
  would hold up everything behind it;
* asking for metadata creates no topics, and asks for all topics only when a pattern is subscribed.
"""

from __future__ import annotations

import asyncio
import collections
import logging
import random
import time
from collections.abc import Callable, Collection
from typing import Any

from aiokafka.client import AIOKafkaClient, ConnectionGroup
from aiokafka.conn import CloseReason
from aiokafka.errors import CoordinatorNotAvailableError, KafkaError, RequestTimedOutError
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.structs import TopicPartition
from aiokafka.util import create_task

from faust.exceptions import BrokerUnavailable, FaustError
from faust.transport.base import DriverState
from faust.transport.drivers.aiokafka.connection import Connection
from faust.transport.drivers.aiokafka.errors import is_passing, is_refusal, translate
from faust.transport.drivers.aiokafka.protocol import TopicDetails

__all__ = ["Backoff", "KafkaClient", "Watch"]

logger: logging.Logger = logging.getLogger(__name__)

FETCH_GROUP = "fetch"
SETUP_TIMEOUT = 10.0
"""Seconds to set up one connection, including authentication."""
OPINIONS = 3
"""So many nodes are asked who leads."""
SECOND_OPINION = 0.5
"""Seconds to wait for those that have not answered, when another one has."""
METADATA_BURST = 5
METADATA_WINDOW = 0.5
"""At most so many metadata requests in so many seconds: aiokafka asks in a busy loop while a leader is missing."""


class Backoff:
    """Growing, jittered pauses between attempts.

    Arguments:
        first: Shortest pause in seconds.
        longest: Longest one.
    """

    def __init__(self, first: float = 0.05, longest: float = 1.0) -> None:
        self._first = first
        self._longest = longest
        self._pause = 0.0

    def next(self) -> float:
        """Return the next pause in seconds, 50 to 100 % of the nominal one."""
        self._pause = min(self._pause * 2 or self._first, self._longest)
        return self._pause * random.uniform(0.5, 1.0)

    def reset(self) -> None:
        """Begin again with the shortest."""
        self._pause = 0.0


class Watch:
    """Which nodes do not answer; keeps a `DriverState` and the log up to date."""

    def __init__(self, state: DriverState, name: str) -> None:
        self._state = state
        self._name = name
        self._down: dict[Any, str] = {}
        self._since = 0.0
        self._report_at = 0.0
        self._interval = 0.0
        self._cluster = ""
        state.since = time.monotonic()

    @property
    def down(self) -> Collection[Any]:
        """Nodes whose last attempt failed."""
        return self._down

    def reasons(self) -> list[str]:
        """Return why those do not answer."""
        return sorted(set(self._down.values()))

    def answered(self, node: Any) -> None:
        """Note that *node* has answered."""
        if self._down:
            self._down.pop(node, None)
            if self._state.connected and not self._down:  # others answered all the time
                self._since = self._interval = 0.0
        if self._state.connected:
            return
        now = time.monotonic()
        if self._since:
            logger.warning(
                "%s: connected to Kafka again after %.1f s", self._name, now - self._since
            )
        self._since = self._interval = 0.0
        self._set(connected=True)
        self._state.last_error = ""

    def failed(self, node: Any, error: BaseException, *, nodes: int) -> None:
        """Note that *node*, one of *nodes* known ones, could not be reached or did not answer."""
        reason = str(error) or type(error).__name__
        self._down[node] = reason
        self._state.last_error = reason
        if len(self._down) >= nodes and self._state.connected:
            self._set(connected=False)
        now = time.monotonic()
        self._since = self._since or now
        if now >= self._report_at or not self._interval:
            self._interval = min(self._interval * 2 or 5.0, 300.0)
            self._report_at = now + self._interval
            logger.warning(
                "%s: no answer from Kafka node %s (%s); trying again, for %.0f s so far",
                self._name,
                node,
                reason,
                now - self._since,
            )

    def met(self, cluster_id: str | None) -> None:
        """Note which cluster it is that answers (KIP-78), and say so when it is another one than before."""
        if not cluster_id or cluster_id == self._cluster:
            return
        if self._cluster:
            logger.warning(
                "%s: the brokers belong to another Kafka cluster now (%s instead of %s): its topics are read where this "
                "group has committed there, or else by the policy for new groups",
                self._name,
                cluster_id,
                self._cluster,
            )
        self._cluster = cluster_id

    def note(self, trouble: str) -> None:
        """Note what nodes that answer refuse for now; empty: nothing any more."""
        self._state.last_error = trouble

    def _set(self, *, connected: bool) -> None:
        self._state.connected = connected
        self._state.since = time.monotonic()


class KafkaClient(AIOKafkaClient):  # type: ignore[misc]  # aiokafka is untyped
    """aiokafka's client with the additions above. Lives in the client thread.

    Arguments:
        servers: ``host:port`` of the bootstrap servers.
        state: Kept up to date.
        name: Begins log lines.
        refused: Called when a broker refuses our credentials.
        options: Keyword arguments of `AIOKafkaClient`.
    """

    def __init__(
        self,
        servers: list[str],
        *,
        state: DriverState,
        name: str,
        refused: Callable[[FaustError], None] = lambda _error: None,
        **options: Any,
    ) -> None:
        super().__init__(bootstrap_servers=servers, **options)
        self.watch: Watch = Watch(state, name)
        self.all_topics = False
        """Ask for every topic of the cluster: a pattern is subscribed."""
        self.answer_timeouts: dict[Any, float] = {}
        """Seconds to wait for an answer, per connection group; else the request timeout."""
        self._synchronizer: asyncio.Task[None] | None = None
        self._refused = refused
        self._connecting: dict[Any, asyncio.Lock] = collections.defaultdict(asyncio.Lock)
        self._backoff: dict[Any, Backoff] = {}
        self._retry_at: dict[Any, float] = {}
        self._updates: collections.deque[float] = collections.deque(maxlen=METADATA_BURST)
        self._ask_again = Backoff(0.5, 5.0)
        self._ask_again_at = 0.0

    # -- the first connection

    async def connect(self, timeout: float | None) -> None:
        """Reach any of the bootstrap servers.

        Arguments:
            timeout: Seconds; None: for ever.

        Raises:
            AuthenticationFailed: at once when refused.
            BrokerUnavailable: when none answered in time.
        """
        began = time.monotonic()
        pauses = Backoff(0.1, 5.0)
        errors: dict[str, str] = {}
        while True:
            left = None if timeout is None else timeout - (time.monotonic() - began)
            try:
                async with asyncio.timeout(left):
                    if await self._ask_servers(errors, []):
                        break
                    await asyncio.sleep(pauses.next())
            except TimeoutError:
                raise self._unreachable(errors, timeout or 0.0) from None
            for server, reason in errors.items():
                self.watch.failed(server, BrokerUnavailable(reason), nodes=1)
        self.watch._down.clear()
        self.watch.answered(None)
        if self._synchronizer is None:
            self._synchronizer = self._sync_task = create_task(self._md_synchronizer())

    async def _ask_servers(self, errors: dict[str, str], topics: list[str] | None) -> bool:
        """Ask the bootstrap servers in turn for nodes and *topics*; note who failed in *errors*."""
        for host, port, _ in self.hosts:
            server = f"{host}:{port}"
            errors.setdefault(server, "no answer yet")
            connection = None
            try:
                async with asyncio.timeout(SETUP_TIMEOUT):
                    connection = await self._open(host, port)
                    metadata = await connection.send(MetadataRequest(topics, False))
            except Exception as error:
                if is_refusal(error):
                    raise translate(error, f"Kafka at {server} refused us") from error
                errors[server] = _describe(error)
                continue
            finally:
                if connection is not None:
                    connection.close()
            if metadata.brokers:
                self._learn(metadata, self.cluster)
                return True
            errors[server] = "it knows no brokers yet"
        return False

    def _unreachable(self, errors: dict[str, str], timeout: float) -> BrokerUnavailable:
        tried = "; ".join(f"{server} ({reason})" for server, reason in errors.items())
        return BrokerUnavailable(
            f"no Kafka broker could be reached within {timeout:g} s. Tried {tried}. Check that the broker runs, that "
            "the address in the broker setting is right, and that it speaks the protocol of broker_credentials "
            f"({self._security_protocol})"
        )

    async def _open(self, host: str, port: int) -> Any:
        connection = Connection(
            host,
            port,
            client_id=self._client_id,
            request_timeout_ms=self._request_timeout_ms,
            ssl_context=self._ssl_context,
            security_protocol=self._security_protocol,
            on_close=self._on_connection_closed,
            max_idle_ms=self._connections_max_idle_ms,
            sasl_mechanism=self._sasl_mechanism,
            sasl_plain_username=self._sasl_plain_username,
            sasl_plain_password=self._sasl_plain_password,
            sasl_kerberos_service_name=self._sasl_kerberos_service_name,
            sasl_kerberos_domain_name=self._sasl_kerberos_domain_name,
            sasl_oauth_token_provider=self._sasl_oauth_token_provider,
        )
        await connection.connect()
        return connection

    # -- connections

    async def _get_conn(
        self, node_id: Any, *, group: Any = ConnectionGroup.DEFAULT, no_hint: bool = False
    ) -> Any:
        """Return a connection to a node, or None when it cannot be had now. Replaces aiokafka's."""
        del no_hint
        key = (node_id, group)
        connection = self._conns.get(key)
        if connection is not None and connection.connected():
            return connection
        async with self._connecting[key]:
            connection = self._conns.get(key)
            if connection is not None and connection.connected():
                return connection
            self._conns.pop(key, None)
            broker = self.cluster.broker_metadata(node_id)
            if broker is None:
                self.force_metadata_update()
                return None
            await asyncio.sleep(max(0.0, self._retry_at.get(node_id, 0.0) - time.monotonic()))
            try:
                async with asyncio.timeout(SETUP_TIMEOUT):
                    connection = await self._open(broker.host, broker.port)
            except Exception as error:
                self._note_failure(node_id, f"{broker.host}:{broker.port}", error)
                return None
            connection._request_timeout = self.answer_timeouts.get(
                group, connection._request_timeout
            )
            self._conns[key] = connection
            self._backoff.pop(node_id, None)
            self._retry_at.pop(node_id, None)
            return connection

    def drop_connection(self, node_id: Any, group: Any) -> None:
        """Close a connection on which an answer is overdue; the next request opens another."""
        connection = self._conns.pop((node_id, group), None)
        if connection is not None:
            connection.close(reason=CloseReason.CONNECTION_TIMEOUT)

    def _note_failure(self, node_id: Any, address: str, error: BaseException) -> None:
        if is_refusal(error):
            self._refused(translate(error, f"Kafka at {address} refused us"))
        backoff = self._backoff.setdefault(node_id, Backoff())
        self._retry_at[node_id] = time.monotonic() + backoff.next()
        self.watch.failed(node_id, error, nodes=self._known_nodes())
        self.force_metadata_update()

    async def send(
        self, node_id: Any, request: Any, *, group: Any = ConnectionGroup.DEFAULT
    ) -> Any:
        """Send a request and wait for its answer; notes in `watch` how that went."""
        if isinstance(request, FetchRequest):
            group = FETCH_GROUP
        try:
            try:
                answer = await super().send(node_id, request, group=group)
            except KeyError as error:  # aiokafka closes the connection of what took too long, and it was gone by then
                raise RequestTimedOutError from error
        except KafkaError as error:
            self.note_trouble(node_id, error)
            raise
        self.watch.answered(node_id)
        return answer

    async def coordinator_lookup(self, coordinator_type: Any, coordinator_key: str) -> Any:
        """Return the node that coordinates a group or a transactional id; notes in `watch` that there is none.

        Raises:
            CoordinatorNotAvailableError: there is none, or who was asked went away instead of answering. aiokafka's
                producer looks again after this, but ends after a lost connection.
        """
        try:
            node_id = await super().coordinator_lookup(coordinator_type, coordinator_key)
        except KafkaError as error:
            self.watch.note(f"no coordinator of {coordinator_key}: {_describe(error)}")
            if is_passing(error):
                raise CoordinatorNotAvailableError(str(error)) from error
            raise
        self.watch.note("")
        return node_id

    def note_trouble(self, node_id: Any, error: KafkaError) -> None:
        """Note in `watch` that a node did not answer a request."""
        if error.retriable:
            self.watch.failed(node_id, error, nodes=self._known_nodes())

    def open_connection(self, node_id: Any) -> Connection | None:
        """Return the connection to a node when there is one."""
        connection: Connection | None = self._conns.get((node_id, ConnectionGroup.DEFAULT))
        return connection if connection is not None and connection.connected() else None

    def _known_nodes(self) -> int:
        return max(1, len(self.cluster.brokers()))

    # -- metadata

    async def _metadata_update(self, cluster_metadata: Any, topics: Any) -> bool:
        """Ask any node about *topics* (None: all) and update *cluster_metadata*. Replaces aiokafka's."""
        await self._space_updates()
        wanted: list[str] | None = list(topics or ())
        if topics is None or (self.all_topics and cluster_metadata is self.cluster):
            wanted = None
        answer = await self.ask_any(MetadataRequest(wanted, False))
        if answer is None:
            return await self._find_cluster_again(wanted)
        if not answer.brokers:
            return False
        self._learn(answer, cluster_metadata)
        return True

    def _learn(self, answer: Any, cluster_metadata: Any) -> None:
        self.watch.met(getattr(answer, "cluster_id", None))  # version 2 and later have it
        cluster_metadata.update_metadata(answer)

    async def ask_any(self, request: Any) -> Any:
        """Send *request* to some node that answers; None when none does."""
        nodes = [broker.nodeId for broker in self.cluster.brokers()]
        random.shuffle(nodes)
        nodes.sort(key=lambda node: node in self.watch.down)
        for node_id in nodes:
            connection = await self._get_conn(node_id)
            if connection is None:
                continue
            try:
                answer = await connection.send(request)
            except (TimeoutError, KafkaError) as error:
                self.watch.failed(node_id, error, nodes=len(nodes))
                continue
            self.watch.answered(node_id)
            return answer
        return None

    async def _find_cluster_again(self, topics: list[str] | None) -> bool:
        """No known node answers: perhaps all of them have moved. Say whether the cluster was found."""
        if time.monotonic() < self._ask_again_at:
            return False
        self._ask_again_at = time.monotonic() + self._ask_again.next()
        try:
            found = await self._ask_servers({}, topics)
        except FaustError as error:
            self._refused(error)
            return False
        if found:
            self._ask_again.reset()
        return found

    def set_topics(self, topics: Any) -> Any:
        """Watch other topics; return a future of their metadata.

        aiokafka's forgets to look for them when a periodic update is under way.
        """
        changed = set(topics) != self._topics
        told = super().set_topics(topics)
        if changed and not self._md_update_waiter.done():
            self._md_update_waiter.set_result(None)
        return told

    async def _space_updates(self) -> None:
        now = time.monotonic()
        if len(self._updates) == METADATA_BURST:
            await asyncio.sleep(max(0.0, self._updates[0] + METADATA_WINDOW - now))
        self._updates.append(time.monotonic())

    async def topic_metadata(
        self, topics: Collection[str], *, create: bool = False
    ) -> dict[str, Any]:
        """Ask about *topics* without remembering them; retries for as long as no node answers.

        Arguments:
            topics: Their names.
            create: Let the broker create missing ones, if it is configured so.

        Returns:
            By name ``(error code, [(error code, partition, leader, replicas, in-sync replicas, ...), ...])``.
        """
        pauses = Backoff()
        while True:
            answer = await self.ask_any(MetadataRequest(list(topics), create))
            if answer is not None:
                return {name: (code, rows) for code, name, _internal, rows in answer.topics}
            await asyncio.sleep(pauses.next())

    async def topic_ids(self, topics: list[str]) -> dict[str, str]:
        """Return the identities of *topics*, of those that have one; retries for as long as no node answers."""
        pauses = Backoff()
        while (answer := await self.ask_any(TopicDetails(topics))) is None:
            await asyncio.sleep(pauses.next())
        return TopicDetails.read_ids(answer)

    async def newest_leaders(self, topics: list[str]) -> dict[tuple[str, int], tuple[int, int]]:
        """Return leader and epoch of each partition of *topics*, as those of several nodes say who know the newest epoch (KIP-320).

        A node that stood still, or is cut off from the others, believes for a while in leaders that were replaced, perhaps in
        itself. Brokers before Kafka 2.8 are not believed to know: then what the client has learned is returned, without an epoch.
        """
        found: dict[tuple[str, int], tuple[int, int]] = {}
        for answer in await self._ask_several(TopicDetails(topics)):
            for partition, (leader, epoch) in TopicDetails.read_leaders(answer).items():
                if partition not in found or epoch > found[partition][1]:
                    found[partition] = leader, epoch
        for topic in topics:
            for number in self.cluster.partitions_for_topic(topic) or ():
                leader = self.cluster.leader_for_partition(TopicPartition(topic, number))
                found.setdefault((topic, number), (-1 if leader is None else leader, -1))
        return found

    async def _ask_several(self, request: Any) -> list[Any]:
        """Return what some nodes answer within `SECOND_OPINION` seconds; if none does, the first answer there is."""
        nodes = [broker.nodeId for broker in self.cluster.brokers()]
        chosen = random.sample(nodes, min(len(nodes), OPINIONS))
        asked = {asyncio.ensure_future(self._ask_node(node, request)) for node in chosen}
        try:
            waiting = asked
            if waiting:
                _, waiting = await asyncio.wait(asked, timeout=SECOND_OPINION)
            while waiting and not any(task.done() and task.result() for task in asked):
                _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            return [task.result() for task in asked if task.done() and task.result() is not None]
        finally:
            for task in asked:
                task.cancel()

    async def _ask_node(self, node_id: Any, request: Any) -> Any:
        """Return a node's answer; None: there is none."""
        try:
            return await self.send(node_id, request)
        except (TimeoutError, KafkaError):
            return None


def _describe(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer in {SETUP_TIMEOUT:g} s"
    return str(error) or type(error).__name__
