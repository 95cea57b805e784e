"""The contract of a transport driver, on one page.

A *transport* is chosen by the scheme of the broker URL. It makes consumers, producers and an admin client; above
this contract nobody asks which driver is underneath. `docs/explain/transport.md` numbers the promises C1 to C17;
the suite in ``tests/functional/contracts`` shows each of them on every driver.

Threads and loops: every method is called on the application's event loop, and every callback arrives there. A
driver whose client needs a loop of its own (Kafka) keeps it in a thread, so that heartbeats never depend on user
code. Synchronous methods never block and may be called from the application's thread only.

Errors: drivers translate what their client raises into `faust.exceptions` (`BrokerError` and below,
`ProducerSendError`, `RecordTooLarge`). Whatever a later attempt may cure (connection lost, leader or coordinator
moved) is retried inside the driver for ever, with jittered backoff, and shows in `DriverState`.
"""

from __future__ import annotations

import abc
from collections.abc import Awaitable, Callable, Collection, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, Protocol

from yarl import URL

from faust.messages import TP, Headers, RecordMetadata, Slice
from faust.transport.tenure import Tenure

__all__ = [
    "AdminDriver",
    "Assignor",
    "ConsumerDriver",
    "ConsumerOptions",
    "Delivery",
    "DriverState",
    "GroupDescription",
    "MemberAssignment",
    "MemberSubscription",
    "ProducerDriver",
    "ProducerOptions",
    "RebalanceListener",
    "TopicDescription",
    "TopicOutcome",
    "TopicSpec",
    "Transport",
]


# -- options: plain values, so that a test makes a driver in one line


@dataclass(frozen=True, kw_only=True)
class ConsumerOptions:
    """What a consumer needs to know. Times are in seconds, sizes in bytes."""

    group_id: str | None = None
    """None: no group; partitions are assigned by hand and nothing can be committed."""
    client_id: str = "faust"
    group_instance_id: str | None = None
    """Static membership (KIP-345)."""
    auto_offset_reset: str = "earliest"
    """``earliest``, ``latest`` or ``none`` (raise `OffsetOutOfRange`)."""
    read_committed: bool = False
    session_timeout: float = 60.0
    rebalance_timeout: float = 60.0
    heartbeat_interval: float = 3.0
    max_poll_interval: float = 1000.0
    request_timeout: float = 90.0
    check_crcs: bool = True
    max_fetch_size: int = 1024 * 1024
    """Bytes fetched per partition and request."""
    slice_size: int = 200
    """Records in a slice, at most."""
    metadata_max_age: float = 300.0
    connections_max_idle: float = 540.0
    credentials: Any = None
    connect_timeout: float | None = None
    """How long `start` tries to reach the broker; None: for ever."""


@dataclass(frozen=True, kw_only=True)
class ProducerOptions:
    """What a producer needs to know. Times are in seconds, sizes in bytes."""

    client_id: str = "faust"
    acks: int = -1
    """0, 1 or -1 (all in-sync replicas)."""
    linger: float = 0.0
    """How long an open batch waits for company; 0: sent at the next turn of the loop."""
    max_batch_size: int = 16384
    max_request_size: int = 1000000
    compression: str | None = None
    """None, gzip, snappy, lz4 or zstd."""
    request_timeout: float = 1200.0
    """How long a record may wait for its acknowledgement before it fails."""
    buffer_memory: int = 32 * 1024 * 1024
    """Bytes appended and not yet acknowledged above which `ProducerDriver.full` is true."""
    transactional_id: str | None = None
    transaction_timeout: float = 60.0
    metadata_max_age: float = 300.0
    connections_max_idle: float = 540.0
    credentials: Any = None
    connect_timeout: float | None = None
    seen_topics: set[str] = field(default_factory=set, compare=False)
    """Topics that were there once: being written to does not create them again. Kept by who sends, for its successors."""


# -- group membership


class MemberSubscription(NamedTuple):
    """What a member tells the leader of its group."""

    topics: tuple[str, ...]
    user_data: bytes


class MemberAssignment(NamedTuple):
    """What the leader answers: partitions by topic, and the assignor's own data."""

    partitions: Mapping[str, Sequence[int]]
    user_data: bytes


class Assignor(Protocol):
    """Who gets which partition. Called by the driver, synchronously; does no I/O.

    The driver may call it on its client thread, never concurrently.
    """

    name: str
    """Strategy name on the wire (``faust``)."""
    version: int

    def subscription_user_data(self, topics: frozenset[str]) -> bytes:
        """Say what this member tells the leader when it joins."""
        ...

    def assign(
        self, members: Mapping[str, MemberSubscription], partitions: Mapping[str, int]
    ) -> Mapping[str, MemberAssignment]:
        """As the leader, divide *partitions* (topic -> count; unknown topics missing) among *members*."""
        ...

    def on_assignment(self, assignment: MemberAssignment, generation: int) -> None:
        """Remember what this member was given."""
        ...


class RebalanceListener(Protocol):
    """What the application does when its partitions change. Awaited by the driver on the application's loop."""

    async def on_partitions_revoked(self, revoked: frozenset[TP], lost: bool) -> None:
        """Finish and commit what is in hand of *revoked*.

        While this is awaited commits of the old generation are still accepted, unless *lost*: then the group has
        already given the partitions away (session expired), and nothing of them may be committed. After it has
        returned no slice of the old generation is handed over (C2). Called before every rejoin with everything held
        (eager protocol); not called when nothing was held.
        """
        ...

    async def on_partitions_assigned(self, assigned: frozenset[TP], generation: int) -> None:
        """Prepare *assigned*. No slice of the new generation is handed over before it has returned.

        Called after every rejoin, also with an empty set. Partitions start at the committed offset, else by the reset
        policy; the listener may `seek` and `pause`.
        """
        ...


@dataclass
class DriverState:
    """What a driver says about its connection; read by health and logs."""

    connected: bool = False
    since: float = 0.0
    """Monotonic time of the last change."""
    last_error: str = ""


# -- consumer


class ConsumerDriver(abc.ABC):
    """Reads partitions, as a member of a group or by hand."""

    state: DriverState

    @abc.abstractmethod
    async def start(self) -> None:
        """Connect. Raises `BrokerUnavailable` after ``connect_timeout``, `AuthenticationFailed` at once."""

    @abc.abstractmethod
    async def close(self, timeout: float = 10.0) -> None:
        """Leave the group and end, in at most *timeout* seconds, also when the broker is gone (C15). Idempotent."""

    @abc.abstractmethod
    async def subscribe(
        self,
        topics: Collection[str],
        *,
        pattern: str | None = None,
        listener: RebalanceListener,
        assignor: Assignor,
        earliest_topics: Callable[[str], bool] | None = None,
    ) -> None:
        """Join the group, or replace the subscription of a member; returns before the first assignment.

        *pattern* is a regular expression that a topic's whole name must match; matching topics are followed as they
        appear (C12). Topics for which *earliest_topics* is true reset to the log start whatever the options say (C6).
        """

    @abc.abstractmethod
    async def assign(self, tps: Collection[TP]) -> None:
        """Read *tps* without a group. Replaces an earlier call; generation is -1."""

    @property
    @abc.abstractmethod
    def assignment(self) -> frozenset[TP]:
        """The partitions held now."""

    @property
    @abc.abstractmethod
    def generation(self) -> int:
        """Generation of the group; -1 when not a member."""

    @property
    @abc.abstractmethod
    def member_id(self) -> str:
        """Name of this member, given by the coordinator; empty when not a member."""

    @abc.abstractmethod
    def lease_until(self) -> float:
        """Until when (``time.monotonic()``) the assignment is certain (C17).

        The last successful heartbeat was *sent* at this moment minus the session timeout. Infinite outside a group.
        """

    @abc.abstractmethod
    async def take(self, timeout: float) -> list[Slice]:
        """Take the slices that are ready; wait up to *timeout* seconds for the first one.

        Returns an empty list at the time-out and when the assignment changes. A driver builds a bounded number of slices ahead of
        this call. Fatal errors of its background work are raised here (C16): after that the driver is only closed.
        """

    @abc.abstractmethod
    def pause(self, tps: Collection[TP]) -> None:
        """Stop fetching and handing over *tps*; slices already taken are the caller's. Lasts until `resume` or a new assignment."""

    @abc.abstractmethod
    def resume(self, tps: Collection[TP]) -> None:
        """Undo `pause`; nothing is skipped and nothing comes twice."""

    @abc.abstractmethod
    async def seek(self, offsets: Mapping[TP, int]) -> None:
        """Go on at *offsets*. What was fetched and not yet taken is dropped; the next slice starts at the new place."""

    @abc.abstractmethod
    async def position(self, tp: TP) -> int:
        """Return the offset of the next record that `take` will hand over; resolves the start position when needed."""

    @abc.abstractmethod
    async def committed(self, tps: Collection[TP]) -> dict[TP, int | None]:
        """Return the committed next offsets of the group; None where there is none."""

    @abc.abstractmethod
    async def beginning_offsets(self, tps: Collection[TP]) -> dict[TP, int]:
        """Return the log start offsets."""

    @abc.abstractmethod
    async def end_offsets(self, tps: Collection[TP]) -> dict[TP, int]:
        """Return the next offsets to be written; the last stable offset when reading committed."""

    @abc.abstractmethod
    async def log_end_offsets(self, tps: Collection[TP]) -> dict[TP, int]:
        """Return the next offsets to be written, whatever is read: behind open transactions, too (the high watermark)."""

    @abc.abstractmethod
    async def commit(self, offsets: Mapping[TP, int]) -> dict[TP, Exception | None]:
        """Commit next offsets, return when the broker has answered; per partition None or why not (C4).

        Raises `CommitRefused` when the member or its generation is no longer the group's.
        """

    @abc.abstractmethod
    async def partitions_for(self, topic: str) -> frozenset[int] | None:
        """Return the partition numbers of *topic*; None when it does not exist."""

    @abc.abstractmethod
    async def topic_ids(self, topics: Collection[str]) -> dict[str, str]:
        """Return the identities of topics: a topic that is deleted and made anew gets another one.

        Topics that do not exist are left out, and all of them where the broker knows no identities (before Kafka 2.8).
        """


# -- producer


class Delivery:
    """What becomes of one appended record: await it for its `RecordMetadata`.

    Cheap until somebody looks. A failure that nobody awaits is not lost: `ProducerDriver.flush` raises it.
    """

    __slots__ = ()

    def __await__(self) -> Generator[Any, None, RecordMetadata]:
        raise NotImplementedError

    def done(self) -> bool:
        """Say whether the broker has answered."""
        raise NotImplementedError

    def add_done_callback(
        self, callback: Callable[[RecordMetadata | None, Exception | None], None]
    ) -> None:
        """Call *callback(metadata, error)* on the application's loop when the broker has answered; at once when it has."""
        raise NotImplementedError

    def add_failure_callback(self, callback: Callable[[Exception], None]) -> None:
        """Call *callback(error)* on the application's loop if the record cannot be sent; at once if it could not.

        Costs less than `add_done_callback`: nobody hurries to tell of a success.
        """
        raise NotImplementedError


BatchWatcher = Callable[[str, int, float, Exception | None], None]
"""Called with topic, number of records, seconds since the first of them was appended, and what went wrong."""


class ProducerDriver(abc.ABC):
    """Writes records in batches per partition (C8)."""

    state: DriverState

    full: bool
    """True above ``buffer_memory``: producers of records should await `wait_room` before they append more."""

    @abc.abstractmethod
    async def start(self) -> None:
        """Connect; errors as `ConsumerDriver.start`. With a transactional id: fence older producers, abort their transaction."""

    @abc.abstractmethod
    async def close(self, timeout: float = 10.0) -> None:
        """Flush and end, in at most *timeout* seconds (C15). Idempotent. An open transaction is aborted."""

    @abc.abstractmethod
    def append(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        timestamp: int | None = None,
        headers: Headers = (),
    ) -> Delivery:
        """Put a record into its partition's open batch, without waiting; order per partition is kept.

        *timestamp* is in milliseconds; None: now. Raises `RecordTooLarge` at once when it cannot fit a request, and
        `TypeError` when key or value is not bytes. Appending above the bound is allowed (synchronous code has no other way), but
        see `full`.
        """

    def appender(self) -> Callable[..., Delivery]:
        """Return what appends as `append` would if it were called now, by the code that asks."""
        return self.append

    @abc.abstractmethod
    async def wait_room(self) -> None:
        """Wait until the buffer is below its bound."""

    @abc.abstractmethod
    async def flush(self) -> None:
        """Wait until everything appended before this call is acknowledged; raise the first failure since the last flush.

        A failure is reported by one flush only.
        """

    @abc.abstractmethod
    def partitions(self, topic: str) -> Sequence[int] | None:
        """Return the sorted partition numbers of *topic* if they are known already; None: await `load_partitions`."""

    @abc.abstractmethod
    async def load_partitions(self, topic: str) -> Sequence[int]:
        """Ask the broker; a topic that does not exist is created when the broker does so by itself, else `UnknownTopic`."""

    @abc.abstractmethod
    def bind(self, topics: Collection[str], tenure: Tenure) -> None:
        """Write what is appended to *topics* from now on only while *tenure* is certain.

        While it is not, such records wait. They are looked at last of all when they are written, and before they are sent again.
        """

    @abc.abstractmethod
    def withdraw(self, tenure: Tenure) -> None:
        """Write nothing more of what was bound to *tenure*, which is over: deliveries fail with `CommitRefused`, no flush does."""

    @abc.abstractmethod
    def watch(self, told: BatchWatcher) -> None:
        """Call *told* on the caller's loop for each batch that is answered or given up, from now on."""

    @abc.abstractmethod
    def unanswered(self) -> Mapping[str, int]:
        """Return how many records of each topic were appended and are not answered."""

    @abc.abstractmethod
    def overdue(self, seconds: float) -> Mapping[str, str]:
        """Return the topics with a record that has waited for an answer for longer than so many *seconds*.

        Each with what the broker has said to the last attempt; empty when it has not said anything.
        """

    @abc.abstractmethod
    def available_partitions(self, topic: str) -> Sequence[int]:
        """Return the partitions that have a leader now (all of them on the embedded broker)."""

    # -- transactions (C10); only with a transactional id

    @abc.abstractmethod
    async def begin_transaction(self) -> None:
        """Open a transaction."""

    @abc.abstractmethod
    async def send_offsets(self, offsets: Mapping[TP, int], consumer: ConsumerDriver) -> None:
        """Make *offsets* of the consumer's group part of the transaction (KIP-98, KIP-447)."""

    def fence(self) -> bool:
        """What is appended from now on belongs to the next transaction, and is sent once that was begun.

        What was appended before stays in the open one: `flush_fenced` waits for it, `commit_transaction` commits it alone.
        `abort_transaction` drops both. False: this driver cannot keep two apart; nothing may be appended until the
        open one is committed.
        """
        return False

    async def flush_fenced(self) -> None:
        """As `flush`, of what was appended before the `fence`."""
        await self.flush()

    @abc.abstractmethod
    async def commit_transaction(self) -> None:
        """Flush and commit; raises `ProducerFenced` when a newer producer has the id."""

    @abc.abstractmethod
    async def abort_transaction(self) -> None:
        """Drop everything since `begin_transaction`."""


# -- admin


@dataclass(frozen=True, kw_only=True)
class TopicSpec:
    """A topic to be created."""

    name: str
    partitions: int
    replication: int = 1
    config: Mapping[str, str] = field(default_factory=dict)


class TopicOutcome(NamedTuple):
    """What became of a topic to be created."""

    created: bool
    differences: tuple[str, ...] = ()
    """For a topic that was there already: sentences such as ``partitions: wanted 8, has 4``."""


class TopicDescription(NamedTuple):
    """A topic as it is."""

    name: str
    partitions: tuple[int, ...]
    replication: int
    config: Mapping[str, str]
    internal: bool = False


class GroupDescription(NamedTuple):
    """A consumer group as it is."""

    group_id: str
    state: str
    """``Stable``, ``Empty``, ``PreparingRebalance``, ``CompletingRebalance`` or ``Dead``."""
    members: tuple[str, ...]
    offsets: Mapping[TP, int]
    """Committed next offsets."""


class AdminDriver(abc.ABC):
    """Looks at and changes topics and groups (C11)."""

    @abc.abstractmethod
    async def start(self) -> None:
        """Connect."""

    @abc.abstractmethod
    async def close(self) -> None:
        """End."""

    @abc.abstractmethod
    async def create_topics(self, specs: Sequence[TopicSpec]) -> dict[str, TopicOutcome]:
        """Create what is missing; say what differs of what is there. Returns when the topics can be used."""

    @abc.abstractmethod
    async def list_topics(self) -> list[str]:
        """Return the names of all topics, sorted; the broker's internal ones left out."""

    @abc.abstractmethod
    async def describe_topics(self, names: Collection[str]) -> dict[str, TopicDescription | None]:
        """Describe topics; None for those that do not exist."""

    @abc.abstractmethod
    async def delete_topics(self, names: Collection[str]) -> None:
        """Delete topics with their records; those that do not exist are no error."""

    @abc.abstractmethod
    async def delete_records(self, before: Mapping[TP, int]) -> None:
        """Move the log start forward."""

    @abc.abstractmethod
    async def offsets(self, tps: Collection[TP]) -> dict[TP, tuple[int, int]]:
        """Return log start and next offset of partitions."""

    @abc.abstractmethod
    async def list_groups(self) -> list[str]:
        """Return the names of all consumer groups, sorted."""

    @abc.abstractmethod
    async def describe_group(self, group_id: str) -> GroupDescription:
        """Describe one group."""

    async def compact(self, topic: str) -> None:
        """Compact a topic now. Only the embedded broker can; Kafka compacts on its own schedule.

        Raises:
            NotImplementedError: with that sentence.
        """
        raise NotImplementedError(
            "this broker compacts on its own schedule; compaction on demand is a service of the embedded broker"
        )


# -- the transport


class Transport(abc.ABC):
    """Makes the clients of one broker."""

    default_port: ClassVar[int] = 0
    driver_version: ClassVar[str] = ""

    def __init__(self, urls: Sequence[URL]) -> None:
        self.urls: list[URL] = list(urls)

    @abc.abstractmethod
    def consumer(self, options: ConsumerOptions) -> ConsumerDriver:
        """Make a consumer; nothing connects before its `start`."""

    @abc.abstractmethod
    def producer(self, options: ProducerOptions) -> ProducerDriver:
        """Make a producer; nothing connects before its `start`."""

    @abc.abstractmethod
    def admin(
        self, *, client_id: str = "faust", request_timeout: float = 90.0, credentials: Any = None
    ) -> AdminDriver:
        """Make an admin client; nothing connects before its `start`."""


Callback = Callable[[], Awaitable[None]]
