"""Membership of a consumer group: aiokafka's coordinator with our rules.

What differs from `aiokafka.consumer.group_coordinator.GroupCoordinator`:

* heartbeats go on while the application handles a new assignment, not only while it handles a revocation;
* `lease_until` (C17): the last heartbeat the broker answered was *sent* at this moment minus the session timeout, so
  the group cannot have given our partitions away before it. A successful SyncGroup counts as a heartbeat;
* a commit names the generation it belongs to and is refused, here or by the broker, when that is over; the answer is
  kept per partition (C4);
* offsets of open transactions are not mistaken for committed ones (KIP-447), and a static member is told that another
  process has its name (KIP-345);
* leaving goes over a connection of its own, since a pending JoinGroup blocks the coordinator's;
* ``max_poll_interval`` bounds how long the *application's loop* may be stuck, not how long nothing was fetched: a full
  hand-over queue is no reason to lose partitions.

Noticing a rebalance takes one heartbeat, and until the last member has noticed, those that have stand still. So
heartbeats are sent at least once a second, however long the interval in the options is.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol

from aiokafka import errors as kafka
from aiokafka.client import ConnectionGroup
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.consumer.subscription_state import SubscriptionState
from aiokafka.coordinator.protocol import ConsumerProtocol
from aiokafka.protocol.group import JoinGroupRequest, LeaveGroupRequest, SyncGroupRequest
from aiokafka.structs import OffsetAndMetadata, TopicPartition

from faust.exceptions import AuthorizationFailed, BrokerUnavailable, CommitRefused, UnknownTopic
from faust.messages import TP
from faust.transport.base import Assignor, ConsumerOptions, MemberAssignment
from faust.transport.drivers.aiokafka.assignor import adapt, member_assignment
from faust.transport.drivers.aiokafka.client import Backoff, KafkaClient
from faust.transport.drivers.aiokafka.errors import (
    FENCED_INSTANCE_ID,
    is_generation_error,
    is_passing,
    translate,
)
from faust.transport.drivers.aiokafka.protocol import (
    GroupHeartbeat,
    GroupOffsetCommit,
    StableOffsetFetch,
)

__all__ = ["Membership", "RebalanceHooks", "Subscriptions"]

logger: logging.Logger = logging.getLogger(__name__)

NOTICE_WITHIN = 1.0
"""Seconds after which a rebalance is noticed at the latest."""
JOIN_GRACE = 5.0
"""Seconds that a JoinGroup may take longer than the rebalance timeout, as in Kafka's Java client."""

Offsets = Mapping[TP, int]
Outcome = dict[TP, Exception | None]


class RebalanceHooks(Protocol):
    """What a consumer does at a rebalance; awaited in the client thread."""

    async def revoke(self, *, lost: bool) -> None:
        """Give back everything that is held; does nothing when nothing is."""
        ...

    async def assign_members(self, tps: frozenset[TP], generation: int) -> None:
        """Take over *tps*."""
        ...


class Subscriptions(SubscriptionState):  # type: ignore[misc]  # aiokafka is untyped
    """aiokafka's subscription state; idle is an application whose loop does not turn."""

    def __init__(self, app_idle: Callable[[], float]) -> None:
        super().__init__()
        self._app_idle = app_idle

    @property
    def fetcher_idle_time(self) -> float:
        """Seconds since the application's loop was seen alive."""
        return self._app_idle()


class Membership(GroupCoordinator):  # type: ignore[misc]
    """One member of one group. Lives in the client thread."""

    def __init__(
        self,
        client: KafkaClient,
        subscriptions: Subscriptions,
        options: ConsumerOptions,
        hooks: RebalanceHooks,
    ) -> None:
        self._hooks = hooks
        self._assignor: Assignor | None = None
        self._session_timeout = options.session_timeout
        self._rebalance_timeout = options.rebalance_timeout
        self._in_hook = False
        self.lease_until: float = 0.0
        self._quiet: float = 0.0
        """When the last heartbeat was sent that found no rebalance (monotonic seconds)."""
        client.answer_timeouts[ConnectionGroup.COORDINATION] = max(
            options.request_timeout, options.rebalance_timeout + JOIN_GRACE
        )
        self._answer_timeout = min(options.request_timeout, options.session_timeout)
        super().__init__(
            client,
            subscriptions,
            group_id=options.group_id,
            group_instance_id=options.group_instance_id,
            session_timeout_ms=round(options.session_timeout * 1000),
            heartbeat_interval_ms=round(min(options.heartbeat_interval, NOTICE_WITHIN) * 1000),
            retry_backoff_ms=random.randint(80, 120),
            enable_auto_commit=False,
            assignors=(),
            max_poll_interval_ms=round(options.max_poll_interval * 1000),
            rebalance_timeout_ms=round(options.rebalance_timeout * 1000),
        )

    def use_assignor(self, assignor: Assignor) -> None:
        """Take part in the group with *assignor*."""
        self._assignor = assignor
        self._assignors = (adapt(assignor),)

    async def _stop_heartbeat_task(self) -> None:
        """End the heartbeats. Replaces aiokafka's, which ends with them when they are leaving the group just now."""
        task, self._heartbeat_task = self._heartbeat_task, None  # type: ignore[has-type]
        if task is not None and not task.done():
            task.cancel()
            await asyncio.wait([task])

    # -- requests

    async def _send_req(self, request: Any) -> Any:
        """Send to the coordinator; replaces aiokafka's, which logs every attempt."""
        node_id = self.coordinator_id
        if node_id is None:
            raise kafka.GroupCoordinatorNotAvailableError
        sent = time.monotonic()
        limit = None if isinstance(request, JoinGroupRequest) else self._answer_timeout
        try:
            async with asyncio.timeout(limit):
                answer = await self._client.send(
                    node_id, request, group=ConnectionGroup.COORDINATION
                )
        except TimeoutError:
            self._client.drop_connection(node_id, ConnectionGroup.COORDINATION)
            self.coordinator_dead()
            raise kafka.RequestTimedOutError from None
        except kafka.KafkaError:
            self.coordinator_dead()
            raise
        if isinstance(request, SyncGroupRequest) and answer.error_code == 0:
            self._renew(sent)
        return answer

    async def _ask_coordinator(self, request: Any) -> Any:
        """Send over the connection that no JoinGroup blocks."""
        node_id = self.coordinator_id
        if node_id is None:
            raise kafka.GroupCoordinatorNotAvailableError
        try:
            return await self._client.send(node_id, request)
        except kafka.KafkaError:
            self.coordinator_dead()
            raise

    def _renew(self, sent: float, *, rebalancing: bool = False) -> None:
        self.lease_until = sent + self._session_timeout
        if not rebalancing:
            self._quiet = sent
        else:  # the group goes on without us when we take too long to give back, however we beat
            limit = self._quiet + self._rebalance_timeout
            self.lease_until = min(self.lease_until, limit)

    def reset_generation(self) -> None:
        """Be no member any more; others may have the partitions by now."""
        self.lease_until = 0.0
        super().reset_generation()

    async def _do_heartbeat(self) -> bool:
        """Send one heartbeat; say whether the group still counts us in. Replaces aiokafka's."""
        sent = time.monotonic()
        generation = self.generation
        request = GroupHeartbeat(self.group_id, generation, self.member_id, self._group_instance_id)
        try:
            answer = await self._send_req(request)
        except kafka.KafkaError:
            return False
        error = kafka.for_code(answer.error_code)
        if error in (kafka.NoError, kafka.RebalanceInProgressError):
            self._renew(sent, rebalancing=error is kafka.RebalanceInProgressError)
            if error is kafka.RebalanceInProgressError:
                self.request_rejoin()
            return True
        if error in (kafka.IllegalGenerationError, kafka.UnknownMemberIdError):
            self._evicted(generation, error)
        elif error in (
            kafka.GroupCoordinatorNotAvailableError,
            kafka.NotCoordinatorForGroupError,
        ):
            self.coordinator_dead()
        elif not error.retriable:
            raise error(self._explain(answer.error_code))
        return False

    def _evicted(self, generation: int, error: Any) -> None:
        if generation == self.generation:
            logger.warning(
                "group %s: the broker no longer counts us in generation %d (%s); joining again",
                self.group_id,
                generation,
                error.message,
            )
            self.reset_generation()

    def _explain(self, code: int) -> str:
        if code == FENCED_INSTANCE_ID:
            return (
                f"another process uses the group instance id {self._group_instance_id!r} of group {self.group_id}: "
                "give each process its own consumer_group_instance_id"
            )
        return str(self.group_id)

    # -- joining

    async def _on_join_prepare(self, previous_assignment: Any) -> None:
        del previous_assignment
        self._subscription.begin_reassignment()
        self._group_subscription = None
        lost = self.member_id == JoinGroupRequest.UNKNOWN_MEMBER_ID
        await self._run_hook(self._hooks.revoke(lost=lost))

    async def _do_rejoin_group(self, subscription: Any) -> bool:
        try:
            return bool(await super()._do_rejoin_group(subscription))
        except kafka.KafkaError as error:
            # aiokafka wraps what it does not expect; two of those pass by themselves.
            text = str(error)
            if "RebalanceInProgress" in text or "RequestTimedOut" in text:
                await asyncio.sleep(self._retry_backoff_ms / 1000)
                return False
            raise

    async def _on_join_complete(
        self, generation: int, member_id: str, protocol: str, member_assignment_bytes: bytes
    ) -> None:
        del member_id, protocol
        assignment = MemberAssignment({}, b"")
        if member_assignment_bytes:
            assignment = member_assignment(
                ConsumerProtocol.ASSIGNMENT.decode(member_assignment_bytes)
            )
        tps = self._ours(assignment)
        self._subscription.assign_from_subscribed([TopicPartition(*tp) for tp in tps])
        current = self._subscription.subscription.assignment
        if self._assignor is not None:
            self._assignor.on_assignment(assignment, generation)
        await self._stop_commit_offsets_refresh_task()
        self.start_commit_offsets_refresh_task(current)
        self._start_heartbeat_task()
        await self._run_hook(self._hooks.assign_members(tps, generation))

    def _ours(self, assignment: MemberAssignment) -> frozenset[TP]:
        subscribed = self._subscription.subscription.topics
        strange = assignment.partitions.keys() - subscribed
        if strange:
            logger.error(
                "group %s: the leader assigned topics we have not subscribed to, they are not read: %s",
                self.group_id,
                sorted(strange),
            )
        return frozenset(
            TP(topic, number)
            for topic, numbers in assignment.partitions.items()
            for number in numbers
            if topic in subscribed
        )

    async def _run_hook(self, hook: Any) -> None:
        self._in_hook = True
        try:
            await hook
        finally:
            self._in_hook = False

    # -- leaving

    async def leave(self, timeout: float) -> None:
        """Leave the group and end, in at most *timeout* seconds. Static members keep their place (KIP-345)."""
        if self._closing.done():
            return
        self._closing.set_result(None)
        grace = timeout / 2 if self._in_hook else min(0.2, timeout / 2)
        task = self._coordination_task
        await asyncio.wait([task], timeout=grace)
        if not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=timeout / 4)
        with contextlib.suppress(asyncio.CancelledError, kafka.KafkaError, TimeoutError):
            async with asyncio.timeout(timeout / 4):
                await self._stop_heartbeat_task()
                await self._stop_commit_offsets_refresh_task()
                await self._maybe_leave_group()
        if task.done() and not task.cancelled():
            task.exception()

    async def _maybe_leave_group(self) -> None:
        self.lease_until = 0.0  # before the broker knows
        member = self.member_id
        if member and self._group_instance_id is None and self.coordinator_id is not None:
            try:
                await self._client.send(
                    self.coordinator_id, LeaveGroupRequest(self.group_id, member)
                )
            except kafka.KafkaError as error:
                logger.warning(
                    "group %s: could not tell the broker that we leave (%s); it will notice after the session timeout",
                    self.group_id,
                    error,
                )
        self.reset_generation()

    # -- offsets

    async def commit(self, offsets: Offsets, generation: int, member: str) -> Outcome:
        """Commit next *offsets* for a generation; retries what passes by itself, for ever.

        Raises:
            CommitRefused: the group has moved on.
            AuthorizationFailed: no permission for the group.
        """
        outcome: Outcome = {}
        pending = dict(offsets)
        pauses = Backoff()
        while pending:
            if self._closing.done():
                raise BrokerUnavailable(f"commit to group {self.group_id}: the consumer is closing")
            if (generation, member) != (self.generation, self.member_id) and generation >= 0:
                raise self._refusal(generation, "the member has joined again since")
            try:
                await self.ensure_coordinator_known()
                answer = await self._send_req(self._commit_request(pending, generation, member))
            except kafka.KafkaError as error:
                if not is_passing(error):
                    raise translate(error, f"cannot commit to group {self.group_id}") from error
            else:
                self._sort_answer(answer, pending, outcome, generation)
            if pending:
                await asyncio.sleep(pauses.next())
        return outcome

    def _commit_request(self, offsets: Offsets, generation: int, member: str) -> Any:
        by_topic: dict[str, list[tuple[int, int, str]]] = {}
        for tp, offset in offsets.items():
            by_topic.setdefault(tp.topic, []).append((tp.partition, offset, ""))
        return GroupOffsetCommit(
            self.group_id, generation, member, self._group_instance_id, list(by_topic.items())
        )

    def _sort_answer(
        self, answer: Any, pending: dict[TP, int], outcome: Outcome, generation: int
    ) -> None:
        """Move what is decided from *pending* to *outcome*; what is left is tried again."""
        for topic, partitions in answer.topics:
            for number, code in partitions:
                tp = TP(topic, number)
                error = kafka.for_code(code)
                if error is kafka.NoError:
                    del pending[tp]
                    outcome[tp] = None
                elif code == FENCED_INSTANCE_ID or is_generation_error(error()):
                    if error is kafka.RebalanceInProgressError:
                        self.request_rejoin()
                    elif code != FENCED_INSTANCE_ID:
                        self._evicted(generation, error)
                    raise self._refusal(generation, error.message)
                elif error is kafka.GroupAuthorizationFailedError:
                    raise AuthorizationFailed(
                        f"commit to group {self.group_id}: not permitted (ACL READ on the group)"
                    )
                elif error in (
                    kafka.GroupCoordinatorNotAvailableError,
                    kafka.NotCoordinatorForGroupError,
                    kafka.RequestTimedOutError,
                ):
                    self.coordinator_dead()
                elif error is kafka.UnknownTopicOrPartitionError or not error.retriable:
                    where = f"cannot commit offset {pending.pop(tp)} of {topic}[{number}]"
                    outcome[tp] = translate(error(), where)

    def _refusal(self, generation: int, reason: str) -> CommitRefused:
        return CommitRefused(
            f"group {self.group_id} has refused a commit of generation {generation} ({reason}; now {self.generation}): "
            "the records belong to another member now, or will be read again"
        )

    async def _do_fetch_commit_offsets(self, partitions: Collection[Any]) -> dict[Any, Any]:
        """Ask for committed offsets, one attempt; replaces aiokafka's."""
        by_topic: dict[str, list[int]] = {}
        for topic, number in partitions:
            by_topic.setdefault(topic, []).append(number)
        answer = await self._ask_coordinator(
            StableOffsetFetch(self.group_id, list(by_topic.items()))
        )
        self._check_offset_error(getattr(answer, "error_code", 0), "")
        offsets = {}
        for topic, number, offset, code in StableOffsetFetch.read(answer):
            if kafka.for_code(code) is kafka.UnknownTopicOrPartitionError:
                continue
            self._check_offset_error(code, f"{topic}[{number}]")
            if offset >= 0:
                offsets[TopicPartition(topic, number)] = OffsetAndMetadata(offset, "")
        return offsets

    def _check_offset_error(self, code: int, place: str) -> None:
        error = kafka.for_code(code)
        if error is kafka.NoError:
            return
        if error in (kafka.NotCoordinatorForGroupError, kafka.GroupCoordinatorNotAvailableError):
            self.coordinator_dead()
        raise error(f"group {self.group_id} {place}")

    async def committed(self, tps: Collection[TP]) -> dict[TP, int | None]:
        """Return committed next offsets; None where there is none.

        Raises:
            UnknownTopic: a topic does not exist.
            AuthorizationFailed: no permission for the group.
        """
        pauses = Backoff()
        wanted = [TopicPartition(*tp) for tp in tps]
        while True:
            try:
                await self.ensure_coordinator_known()
                found = await self._do_fetch_commit_offsets(wanted)
            except kafka.KafkaError as error:
                if isinstance(error, kafka.UnknownTopicOrPartitionError):
                    raise UnknownTopic(str(error)) from error
                if not is_passing(error):
                    raise translate(
                        error, f"cannot read offsets of group {self.group_id}"
                    ) from error
            else:
                return {tp: found[tp].offset if tp in found else None for tp in tps}
            if self._closing.done():
                raise BrokerUnavailable(
                    f"offsets of group {self.group_id}: the consumer is closing"
                )
            await asyncio.sleep(pauses.next())
