"""What can be done to a running application: the kinds of faults, and who carries out a plan.

=================  ======================================================================================  ==========
kind               what happens                                                                            needs
=================  ======================================================================================  ==========
``kill``           SIGKILL of a worker; started again after the length                                     workers
``wipe``           the same, and its data directory is removed                                             workers
``term``           SIGTERM of a worker, which must end with 0; started again after the length              workers
``freeze``         SIGSTOP of a worker, SIGCONT after the length                                           workers
``join``           one worker more; it is sent home after the length                                       workers
``broker-kill``    SIGKILL of a broker; started again after the length                                     brokers
``broker-stop``    a controlled end of a broker; started again after the length                            brokers
``broker-freeze``  SIGSTOP of a broker, SIGCONT after the length                                           brokers
``coordinator``    ``broker-kill`` of the coordinator of the group                                         brokers
``outage``         SIGKILL of all brokers; started again after the length                                  brokers
``leaders``        ``broker-stop``, and then every partition gets the leader it had before                 brokers
``leader-move``    every partition, also those of coordinators, gets another leader; all nodes stay up     brokers
``net-stall``      nothing passes between workers and brokers, and no connection breaks                    proxies
``net-cut``        every connection is reset                                                               proxies
``net-refuse``     every connection is reset, and new ones as well                                         proxies
``net-delay``      every byte takes 0.2 s longer                                                           proxies
``net-slow``       every connection has half a megabyte per second                                         proxies
``net-heartbeat``  heartbeats are not answered, and nothing else on their connections                      proxies
``net-request``    every connection is reset, and then each that carries one kind of request (`REQUESTS`)  proxies
=================  ======================================================================================  ==========
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from faust.testing.faults.crew import Crew
from faust.testing.faults.plan import Plan, Step
from faust.testing.faults.proxy import Proxy

__all__ = [
    "BROKER_KINDS",
    "NET_KINDS",
    "REQUESTS",
    "WORKER_KINDS",
    "Brokers",
    "Outcome",
    "World",
    "play",
]

Kind = Callable[[Step], Awaitable[None]]

WORKER_KINDS: Mapping[str, tuple[float, float]] = {
    "kill": (0.5, 2.0),
    "term": (0.5, 2.0),
    "freeze": (1.0, 8.0),
    "join": (3.0, 6.0),
}
"""Kinds that need workers only, with the shortest and longest time of each in seconds, for `Plan.by_chance`."""

BROKER_KINDS: Mapping[str, tuple[float, float]] = {
    "broker-kill": (2.0, 6.0),
    "broker-stop": (2.0, 6.0),
    "broker-freeze": (2.0, 8.0),
    "coordinator": (2.0, 6.0),
    "outage": (2.0, 6.0),
    "leaders": (0.0, 0.0),
    "leader-move": (0.0, 0.0),
}
"""The same of kinds that need brokers."""

NET_KINDS: Mapping[str, tuple[float, float]] = {
    "net-stall": (1.0, 8.0),
    "net-cut": (0.0, 0.0),
    "net-refuse": (1.0, 6.0),
    "net-delay": (2.0, 5.0),
    "net-slow": (2.0, 5.0),
    "net-heartbeat": (5.0, 9.0),
    "net-request": (1.0, 3.0),
}
"""The same of kinds that need proxies between workers and brokers."""


HEARTBEAT = 12
"""API key of Kafka's heartbeats."""
REQUESTS: Mapping[str, int] = {
    "Produce": 0,
    "Fetch": 1,
    "ListOffsets": 2,
    "Metadata": 3,
    "OffsetCommit": 8,
    "OffsetFetch": 9,
    "FindCoordinator": 10,
    "JoinGroup": 11,
    "SyncGroup": 14,
    "InitProducerId": 22,
    "AddPartitionsToTxn": 24,
    "AddOffsetsToTxn": 25,
    "EndTxn": 26,
    "TxnOffsetCommit": 28,
}
"""API keys of what a worker asks Kafka, for ``net-request``: the target of the fault says which one in turn."""


class Brokers(Protocol):
    """A cluster on this machine whose nodes, numbered from 1, can be ended and started again. Every method blocks."""

    @property
    def size(self) -> int:
        """How many nodes it has."""
        ...

    def kill(self, node: int | None = None) -> None:
        """SIGKILL one node, or all."""
        ...

    def stop(self, node: int | None = None) -> None:
        """End one node, or all, properly."""
        ...

    def restart(self, node: int | None = None) -> None:
        """Start one node, or all, again, and wait until they can be used."""
        ...

    def pause(self, node: int | None = None) -> None:
        """SIGSTOP."""
        ...

    def cont(self, node: int | None = None) -> None:
        """SIGCONT."""
        ...

    def coordinator(self, group: str) -> int:
        """Return the node that coordinates a group."""
        ...

    def elect_leaders(self) -> None:
        """Have every partition led by the node that should lead it (its preferred leader)."""
        ...

    def move_leaders(self) -> None:
        """Have every partition led by another node than now, while all of them are up."""
        ...


@dataclass
class Outcome:
    """What became of one fault.

    Attributes:
        step: The fault.
        at: When it began, in seconds since the plan began.
        lasted: Seconds from its beginning to its end, when the world was whole again; None: it was under way when all ended.
        resumed: Seconds from its end until everything that stood in the topics by then was processed and committed; None: nobody
            looked.
    """

    step: Step
    at: float
    lasted: float | None = None
    resumed: float | None = None

    def __str__(self) -> str:
        lasted = "under way in the end" if self.lasted is None else f"lasted {self.lasted:.1f} s"
        resumed = "" if self.resumed is None else f", caught up {self.resumed:.1f} s after its end"
        return f"{self.at:6.1f} s  {self.step!s:26} {lasted}{resumed}"


class World:
    """The processes of a trial, and what can be done to them.

    Arguments:
        crew: The workers.
        group: Their consumer group; for ``coordinator``.
        brokers: The brokers, where their faults are wanted.
        proxies: Between workers and brokers, where faults of the network are wanted.
        more: Kinds of your own: called with the step, they return when the fault is over.
    """

    def __init__(
        self,
        crew: Crew,
        *,
        group: str = "",
        brokers: Brokers | None = None,
        proxies: Sequence[Proxy] = (),
        more: Mapping[str, Kind] | None = None,
    ) -> None:
        self.crew: Crew = crew
        self.group: str = group
        self.brokers: Brokers | None = brokers
        self.proxies: Sequence[Proxy] = proxies
        self._one_broker = asyncio.Lock()
        self.kinds: dict[str, Kind] = {
            "kill": self._kill,
            "wipe": self._kill,
            "term": self._term,
            "freeze": self._freeze,
            "join": self._join,
            **dict.fromkeys((*BROKER_KINDS,), self._hurt_broker),
            **dict.fromkeys((*NET_KINDS,), self._hurt_network),
            **(more or {}),
        }

    async def suffer(self, step: Step) -> None:
        """Carry out one fault, and return when the world is whole again.

        Raises:
            ValueError: there is no such kind, or what it needs is not there.
        """
        kind = self.kinds.get(step.kind)
        if kind is None:
            known = ", ".join(sorted(self.kinds))
            raise ValueError(f"{step.kind!r} is no kind of fault: choose from {known}")
        await kind(step)

    # -- workers

    async def _victim(self, step: Step) -> str:
        """Return the name of the worker that is meant, when there is anybody."""
        while not self.crew.alive:
            await asyncio.sleep(0.05)
        return self.crew.named(step.target)

    async def _kill(self, step: Step) -> None:
        name = await self._victim(step)
        self.crew.kill(name)
        if step.kind == "wipe":
            self.crew.wipe(name)
        await asyncio.sleep(step.length)
        self.crew.hire(name)

    async def _term(self, step: Step) -> None:
        name = await self._victim(step)
        await self.crew.send_home(name)
        await asyncio.sleep(step.length)
        self.crew.hire(name)

    async def _freeze(self, step: Step) -> None:
        program = self.crew.alive[await self._victim(step)]
        program.freeze()
        await asyncio.sleep(step.length)
        program.thaw()

    async def _join(self, step: Step) -> None:
        name = self.crew.hire()
        await asyncio.sleep(step.length)
        if name in self.crew.alive:
            await self.crew.send_home(name)

    # -- brokers

    async def _hurt_broker(self, step: Step) -> None:
        brokers = self.brokers
        if brokers is None:
            raise ValueError(f"{step.kind} needs brokers (World(..., brokers=...))")
        async with self._one_broker:  # two of three at once would stop the cluster
            if step.kind == "leader-move":
                await asyncio.to_thread(brokers.move_leaders)
                return
            node: int | None = 1 + step.target % brokers.size
            if step.kind == "coordinator":
                node = await asyncio.to_thread(brokers.coordinator, self.group)
            elif step.kind == "outage":
                node = None
            ways = {
                "broker-stop": brokers.stop,
                "leaders": brokers.stop,
                "broker-freeze": brokers.pause,
            }
            await asyncio.to_thread(ways.get(step.kind, brokers.kill), node)
            await asyncio.sleep(step.length)
            back = brokers.cont if step.kind == "broker-freeze" else brokers.restart
            await asyncio.to_thread(back, node)
            if step.kind == "leaders":
                await asyncio.to_thread(brokers.elect_leaders)

    # -- network

    async def _hurt_network(self, step: Step) -> None:
        if not self.proxies:
            raise ValueError(f"{step.kind} needs proxies (World(..., proxies=...))")
        for proxy in self.proxies:
            if step.kind == "net-stall":
                proxy.stall()
            elif step.kind == "net-cut":
                proxy.cut()
            elif step.kind == "net-refuse":
                proxy.refuse()
            elif step.kind == "net-delay":
                proxy.delay = 0.2
            elif step.kind == "net-heartbeat":
                proxy.mute(HEARTBEAT)
            elif step.kind == "net-request":
                proxy.cut()
                proxy.cut_at([*REQUESTS.values()][step.target % len(REQUESTS)])
            else:
                proxy.bandwidth = 500_000.0
        await asyncio.sleep(step.length)
        for proxy in self.proxies:
            proxy.heal()


async def play(
    world: World,
    plan: Plan,
    outcomes: list[Outcome] | None = None,
    *,
    caught_up: Callable[[], Awaitable[None]] | None = None,
    on_begin: Callable[[Step], None] | None = None,
) -> list[Outcome]:
    """Carry out a plan.

    Arguments:
        world: To whom.
        plan: What.
        outcomes: Where what became of each fault is written down as it happens; None: only returned.
        caught_up: Awaited after each fault: returns when everything that was sent by the time of the call is processed.
            None: nobody waits; faults overlap when they last longer than the pause between them.
        on_begin: Told of each fault before it begins.
    """
    began = time.monotonic()
    outcomes = [] if outcomes is None else outcomes
    under_way: list[asyncio.Task[None]] = []

    async def suffer(outcome: Outcome) -> None:
        await world.suffer(outcome.step)
        outcome.lasted = time.monotonic() - began - outcome.at
        if caught_up is not None:
            whole = time.monotonic()
            await caught_up()
            outcome.resumed = time.monotonic() - whole

    try:
        for step in plan:
            await asyncio.sleep(step.pause)
            world.crew.look()
            if on_begin is not None:
                on_begin(step)
            outcome = Outcome(step, time.monotonic() - began)
            outcomes.append(outcome)
            under_way.append(asyncio.create_task(suffer(outcome)))
            if caught_up is not None:
                await under_way[-1]
        await asyncio.gather(*under_way)
    finally:
        for task in under_way:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*under_way, return_exceptions=True)
    return outcomes
