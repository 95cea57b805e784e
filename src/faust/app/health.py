"""The watch: is this worker ready, does every partition get on, and if not, why.

Once a second it looks at every partition (`faust._core.progress`), and every few seconds it asks the broker how much there is.
A partition that stands still for longer than setting ``health_stall_timeout`` is *stalled*, and the watch says what it
waits for. With setting ``health_exit_timeout`` a worker that is stalled for longer ends, so that its partitions go to others.

What it says is shown to whoever asks, so it names places, classes and offsets, and nothing of a message.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Collection
from time import monotonic
from typing import Any

from mode import Service

from faust._core.lanes import PartitionTask
from faust._core.progress import Progress, Seen
from faust.app.lookout import TopicLookout
from faust.app.watchdog import Watchdog
from faust.exceptions import ConsistencyError, Stalled
from faust.messages import TP
from faust.utils.stacks import place_of_thread

__all__ = ["HealthWatch"]

logger: logging.Logger = logging.getLogger(__name__)

LOOK = 1.0
"""Seconds between two looks."""

ASK = 3.0
"""Seconds between two questions to the broker, and how long an answer may take."""

BLOCKED = 10.0
"""Seconds without a beat after which the event loop counts as blocked, so that the process is worth replacing."""

NO_LEASE = "membership: no heartbeat has been answered for longer than the session timeout"

BEAT = 0.5
"""Seconds between two beats."""


class HealthWatch(Service):
    """Watches the partitions of an app (``app.health``).

    Arguments:
        app: The application.

    Attributes:
        looked_at: When (monotonic seconds) it looked last.
        beat_at: When the event loop came round last.
        broker_gone_since: Since when the broker does not answer; None: it does.
        hindered_since: Since when no transaction can be begun; None: one can.
    """

    def __init__(self, app: Any, **kwargs: Any) -> None:
        self.app = app
        self.looked_at: float = monotonic()
        self.beat_at: float = monotonic()
        self.broker_gone_since: float | None = None
        self.hindered_since: float | None = None
        self.partitions: dict[TP, Progress] = {}
        self._ends: dict[TP, int] = {}
        self._lookout = TopicLookout(app)
        self._asked_at = 0.0
        self._told: set[TP] = set()
        self._complained: dict[str, set[TP]] = {}
        self._running: list[asyncio.Task[None]] = []
        self._watchdog: Watchdog | None = None
        self._thread = threading.get_ident()
        super().__init__(**kwargs)

    async def on_start(self) -> None:
        """Begin to watch."""
        self.looked_at = self.beat_at = monotonic()
        self._thread = threading.get_ident()
        loop = asyncio.get_running_loop()
        self._running = [
            loop.create_task(self._watch(), name="health"),
            loop.create_task(self._beat(), name="health beat"),
        ]
        limit = self.app.conf.health_exit_timeout
        if limit and self.app.in_worker:
            self._watchdog = Watchdog(lambda: self.beat_at, limit=limit, ident=self._thread)
            self._watchdog.start()

    async def on_stop(self) -> None:
        """Stop watching."""
        if self._watchdog is not None:
            self._watchdog.stop()
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _beat(self) -> None:
        while True:
            self.beat_at = monotonic()
            await asyncio.sleep(BEAT)

    async def _watch(self) -> None:
        while not self.should_stop:
            await asyncio.sleep(LOOK)
            try:
                await self.look()
                await self._judge()
            except Exception:
                logger.exception("Health: looking at the partitions failed")

    # -- looking

    async def look(self) -> None:
        """Look at every partition."""
        consumer = self.app.consumer_or_none()
        if consumer is None or not consumer.started:
            self.looked_at = monotonic()
            return
        tasks = {tp: task for tp, task in consumer.tasks.items() if task.acking()}
        if monotonic() - self._asked_at >= ASK:
            await self._ask(consumer, tasks)
        now = self.looked_at = monotonic()
        self.hindered_since = (self.hindered_since or now) if consumer.hindrance else None
        self.partitions = {tp: self.partitions.get(tp) or Progress(tp, now) for tp in tasks}
        halted = [
            task
            for agent in self.app.agents.values()
            for actor in agent.actors
            for task in actor.stream._halted()
        ]
        for tp, task in tasks.items():
            seen = await self._seen(consumer, task, halted=task in halted)
            self.partitions[tp].look(seen, now)

    async def _ask(self, consumer: Any, tps: Collection[TP]) -> None:
        """Ask the broker where the partitions end."""
        self._asked_at = monotonic()
        try:
            async with asyncio.timeout(ASK):
                await self._lookout.look(consumer)
                there = [tp for tp in tps if tp.topic not in self._lookout.missing]
                if there:
                    self._ends = dict(await consumer.end_offsets(there))
        except ConsistencyError as exc:
            await self.app.crash(exc)
        except Exception as exc:
            if self.broker_gone_since is None:
                self.broker_gone_since = self._asked_at
            logger.debug("The broker does not say where partitions end: %r", exc)
        else:
            self.broker_gone_since = None

    async def check_changelogs(self) -> None:
        """See, before tables recover, that the changelogs are the topics that this process has used before.

        Raises:
            ConsistencyError: One was deleted and made anew since.
        """
        try:
            async with asyncio.timeout(ASK):
                await self._lookout.look(self.app.consumer)
        except ConsistencyError:
            raise
        except Exception as exc:  # the next look is soon
            logger.debug("The broker does not say which topics there are: %r", exc)

    async def _seen(self, consumer: Any, task: PartitionTask, *, halted: bool) -> Seen:
        end = self._ends.get(task.tp)
        finished = task.safe()
        position = task.delivered
        if end is not None and position < end:  # markers and gaps are passed by the position only
            try:
                position = await consumer.position(task.tp)
            except Exception:
                position = -1
        return Seen(
            delivered=task.delivered,
            finished=finished,
            committed=task.committed,
            end=end,
            position=None if position < 0 else position,
            in_hand=task.in_hand(),
            waiting=max((lane.queued for lane in task.lanes), default=0) or int(halted),
            undecoded=max((lane.undecoded for lane in task.lanes), default=0),
        )

    # -- judging

    def stalled(self, longer_than: float | None = None) -> dict[TP, str]:
        """Return the partitions that have stood still for longer than so many seconds, and why.

        Arguments:
            longer_than: Seconds; None: setting ``health_stall_timeout``.
        """
        limit = self.app.conf.health_stall_timeout if longer_than is None else longer_than
        now, slack = self.looked_at, self.app.conf.broker_commit_interval
        found = {}
        for tp, progress in self.partitions.items():
            if now - progress.still_since > limit:
                found[tp] = self._why(progress)
            elif now - progress.commits_still_since > limit + slack:
                found[tp] = self._why_uncommitted()
        return found

    def why_not_ready(self) -> list[str]:
        """Say what keeps this worker from working; empty: nothing does."""
        app = self.app
        if app.crash_reason is not None:
            return [f"the app has crashed: {app.crash_reason!r}"]
        if app.client_only or app.producer_only or app.consumer_or_none() is None:
            return []
        reasons = []
        if why := self._why_no_work():
            reasons.append(why)
        elif not app.consumer_generation_id and app.topics.subscription()[0]:
            reasons.append("starting: the worker has not been given its partitions yet")
        elif app.consumer_generation_id and monotonic() >= app.lease_until():
            reasons.append(self._why_broker() or NO_LEASE)
        limit = app.conf.health_stall_timeout
        if self._broker_is_gone(limit) and self._broker_words() not in reasons:
            reasons.append(self._broker_words())
        reasons += [f"topics: {why}" for why in self._lookout.missing.values()]
        reasons += self._unsent(limit)
        stalled = self.stalled().items()
        reasons += [f"{tp.topic}[{tp.partition}] is stalled: {why}" for tp, why in stalled]
        reasons += [
            f"{tp.topic}[{tp.partition}]: {why}" for tp, why in self._illegible(limit).items()
        ]
        return reasons + self._why_blocked(limit)

    def why_not_alive(self) -> list[str]:
        """Say why this process should be replaced; empty: it should not."""
        if self.app.crash_reason is not None:
            return [f"the app has crashed: {self.app.crash_reason!r}"]
        return self._why_blocked(BLOCKED)

    def _why_blocked(self, limit: float) -> list[str]:
        """Say that the event loop is blocked, if it is; only who runs in another thread gets to see that."""
        silent = monotonic() - self.beat_at
        if not self.started or self.should_stop or silent <= limit:
            return []
        place = place_of_thread(self._thread)
        return [f"the event loop has been blocked for {silent:.0f} s: it is at {place}"]

    def _unsent(self, limit: float) -> list[str]:
        """Say which topics do not take what is sent to them."""
        producer = self.app.started_producer
        if producer is None:
            return []
        return [
            f"sending: records for {topic} have not been acknowledged for more than {limit:g} s"
            + (f" ({why})" if why else "")
            for topic, why in sorted(producer.driver.overdue(limit).items())
        ]

    def _illegible(self, limit: float) -> dict[TP, str]:
        """Return the partitions of which most records could not be decoded for so many seconds, and still cannot."""
        found = {}
        for tp, progress in self.partitions.items():
            since, now = progress.illegible_since, self.looked_at
            if since is not None and now - since > limit >= now - progress.undecoded_at:
                found[tp] = f"decoding: most records cannot be decoded, the last {self._faults(tp)}"
        return found

    def _faults(self, tp: TP) -> str:
        consumer = self.app.consumer_or_none()
        task = None if consumer is None else consumer.tasks.get(tp)
        lanes = [] if task is None else task.lanes
        return "; ".join(lane.fault for lane in lanes if lane.fault) or "of them is gone"

    def table(self) -> list[dict[str, Any]]:
        """Return a row for each partition: offsets, lag, and for how many seconds it has stood still."""
        stalled, rows = self.stalled(), []
        for tp, progress in sorted(self.partitions.items()):
            seen = progress.seen
            if seen is None:
                continue
            lag = (
                None if seen.end is None or seen.finished < 0 else max(0, seen.end - seen.finished)
            )
            rows.append(
                {
                    "topic": tp.topic,
                    "partition": tp.partition,
                    "delivered": _known(seen.delivered),
                    "finished": _known(seen.finished),
                    "committed": seen.committed,
                    "end": seen.end,
                    "lag": lag,
                    "in_hand": seen.in_hand,
                    "waiting": seen.waiting,
                    "still_for": round(self.looked_at - progress.still_since, 1),
                    "stalled": stalled.get(tp),
                }
            )
        return rows

    def _complain(self) -> None:
        """Log an error for each event that takes too long and each commit that does not come, once."""
        conf = self.app.conf
        slow, unmoved = conf.stream_processing_timeout, conf.broker_commit_livelock_soft_timeout
        for tp in self._news("slow", slow, lambda progress: progress.in_hand_since):
            seen = self.partitions[tp].seen
            where = "; ".join(self.app.agents.places(tp.topic)) or "nobody reads it any more"
            logger.error(
                "%s[%d]: the event at offset %s has been processed for more than %g s (setting stream_processing_timeout): %s",
                *tp,
                seen.finished if seen is not None else "?",
                slow,
                where,
            )
        for tp in self._news("unmoved", unmoved, lambda progress: progress.commits_still_since):
            logger.error(
                "%s[%d]: the committed offset has not moved for more than %g s although events are finished (setting"
                " broker_commit_livelock_soft_timeout): %s",
                *tp,
                unmoved,
                self._why_uncommitted(),
            )

    def _news(self, kind: str, limit: float, since: Callable[[Progress], float]) -> Collection[TP]:
        """Return the partitions for which *since* lies more than *limit* seconds back, and did not at the last look."""
        late = {tp for tp, it in self.partitions.items() if 0 < limit < self.looked_at - since(it)}
        news = late - self._complained.get(kind, set())
        self._complained[kind] = late
        return sorted(news)

    async def _judge(self) -> None:
        self._complain()
        stalled = self.stalled()
        for tp in stalled.keys() - self._told:
            logger.warning("%s[%d] is stalled: %s", *tp, stalled[tp])
        for tp in (self._told - stalled.keys()) & self.partitions.keys():
            logger.info("%s[%d] gets on again", *tp)
        self._told = set(stalled)
        limit = self.app.conf.health_exit_timeout
        if not limit or self.app.crash_reason is not None:
            return
        hopeless = [f"{tp.topic}[{tp.partition}]: {why}" for tp, why in self.stalled(limit).items()]
        if self._broker_is_gone(limit):
            hopeless.append(self._broker_words())
        if self.hindered_since is not None and self.looked_at - self.hindered_since > limit:
            hopeless.append(self._why_no_work())
        if hopeless:
            await self.app.crash(
                Stalled(
                    f"nothing has moved for more than {limit:g} s (setting health_exit_timeout): {'; '.join(hopeless)}"
                )
            )

    # -- reasons

    def _broker_is_gone(self, limit: float) -> bool:
        return (
            self.broker_gone_since is not None and self.looked_at - self.broker_gone_since > limit
        )

    def _broker_words(self) -> str:
        gone = self.looked_at - (self.broker_gone_since or self.looked_at)
        return f"broker: it has not answered for {gone:.0f} s"

    def _why_no_work(self) -> str:
        """Say why no events are handed out, of any partition; empty: they are."""
        app = self.app
        if hindrance := app.consumer.hindrance:
            return f"transactions: {hindrance}"
        if app.in_recovery:
            return ": ".join(
                filter(None, ("recovery: tables are being recovered", app.tables.doing()))
            )
        if app.rebalancing:
            return "rebalance: partitions are moving"
        return ""

    def _why_uncommitted(self) -> str:
        unsent = self._unsent(self.app.conf.health_stall_timeout)
        return (
            self._why_broker()
            or next(iter(unsent), "")
            or "commits: the broker does not accept the offsets of what is finished"
        )

    def _why_broker(self) -> str | None:
        if self.broker_gone_since is not None:
            return self._broker_words()
        if monotonic() >= self.app.lease_until():
            return NO_LEASE
        return None

    def _why(self, progress: Progress) -> str:
        app, seen = self.app, progress.seen
        assert seen is not None
        if why := self._why_no_work():
            return why
        missing = self._lookout.missing.get(progress.tp.topic)
        if missing is not None:
            return f"topics: {missing}"
        broker = self._why_broker()
        if broker is not None:
            return broker
        if seen.in_hand or seen.waiting:
            if not app.flow_control.is_active():
                return "back-pressure: the flow is suspended (app.flow_control)"
            places = "; ".join(app.agents.places(progress.tp.topic)) or "nobody reads it any more"
            kind = "agent" if seen.in_hand else "back-pressure"
            return f"{kind}: {places}"
        more = (seen.end or 0) - (seen.position or 0)
        return f"fetching: {more} records are at the broker, and none arrives"


def _known(offset: int) -> int | None:
    return None if offset < 0 else offset
