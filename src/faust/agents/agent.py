"""Agent: the function, its channel, its actors and its sinks."""

from __future__ import annotations

import asyncio
import inspect
import logging
import warnings
from collections.abc import AsyncIterable, Awaitable, Callable, Collection, Iterable, Iterator
from typing import Any, Generic, SupportsIndex, TypeAlias, cast

import mode
from mode import Service
from mode.utils.futures import maybe_async
from mode.utils.imports import symbol_by_name
from typing_extensions import TypeVar

from faust._core.places import Place
from faust.agents.actor import Actor, AsyncIterableActor, AwaitableActor
from faust.agents.answering import Answers
from faust.agents.calling import Asked
from faust.agents.supervisors import corrected
from faust.channels import Channel
from faust.exceptions import FaustWarning, ImproperlyConfigured
from faust.mailbox import Mailbox
from faust.messages import TP
from faust.ports import AppT
from faust.streams.stream import Stream
from faust.topics.topic import Topic, TopicOptions
from faust.utils.names import module_name
from faust.utils.stacks import place_of

__all__ = ["Agent", "AgentFun", "AgentOptions", "OnError", "SinkT"]

T = TypeVar("T", default=Any)
R = TypeVar("R", default=Any)

logger: logging.Logger = logging.getLogger(__name__)

AgentFun: TypeAlias = Callable[[Stream[T]], Awaitable[Any] | AsyncIterable[Any]]
"""What becomes an agent; with ``yield`` in it, it is an async generator."""

OnError: TypeAlias = Callable[[Any, BaseException], Awaitable[None] | None]
"""``on_error(agent, exc)``, a function or a coroutine function."""

SinkT: TypeAlias = "Agent[Any, Any] | Channel[Any] | Callable[[Any], Any]"
"""Where what an agent yields may go: an agent, a channel or topic, a function (sync or async)."""


class AgentOptions(TopicOptions, total=False):
    """The options of `Agent` that `faust.App.agent` passes on, without those that make its type."""

    name: str | None
    concurrency: int
    sink: Iterable[SinkT] | None
    on_error: OnError | None
    supervisor_strategy: type[mode.SupervisorStrategyT] | str | None
    help: str | None
    isolated_partitions: bool
    use_reply_headers: bool | None


class Agent(Service, Asked[R], Generic[T, R]):
    """A function that processes a stream.

    Arguments:
        fun: ``async def fun(stream)``; with ``yield`` in it its values are answers and go to the sinks.
        app: The application.
        name: Default: module and name of the function.
        channel: A channel or topic, or a topic's name; None: topic ``{app id}-{name}``.
        concurrency: Number of actors in each worker; each message goes to one of them.
        sink: Where yielded values go: functions, agents, channels or topics.
        on_error: ``on_error(agent, exc)``, called when the function raises, and awaited if it is a coroutine function.
        supervisor_strategy: Class of the supervisor, see `mode.supervisors`, or its path; None: setting ``agent_supervisor``.
        help: Words for people; None: the docstring of the function.
        schema: How keys and values of the topic made from a name are read and written.
        key_type: Type of keys of the topic made from a name.
        value_type: Type of values of the topic made from a name.
        isolated_partitions: One actor for each partition that is assigned.
        use_reply_headers: Requests carry the address of the answer in headers; else in an envelope.
        topic_kwargs: Other options of that topic; without effect, but for a `FaustWarning`, when a channel is given.

    Raises:
        ImproperlyConfigured: *isolated_partitions* with *concurrency*.
        AssertionError: Types or a schema together with a channel, which has its own.
        TypeError: *supervisor_strategy* is no class, or the path of none; *concurrency* is no whole number, or a sink is none.
    """

    mundane_level = "debug"

    def __init__(
        self,
        fun: AgentFun[T],
        *,
        app: AppT,
        name: str | None = None,
        channel: Channel[Any] | str | None = None,
        concurrency: int = 1,
        sink: Iterable[SinkT] | None = None,
        on_error: OnError | None = None,
        supervisor_strategy: type[mode.SupervisorStrategyT] | str | None = None,
        help: str | None = None,
        schema: Any = None,
        key_type: Any = None,
        value_type: Any = None,
        isolated_partitions: bool = False,
        use_reply_headers: bool | None = None,
        **topic_kwargs: Any,
    ) -> None:
        self.app = app
        self.fun: AgentFun[T] = fun
        self.name: str = name or _name_of(fun)
        if concurrency and not isinstance(concurrency, SupportsIndex):
            raise TypeError(
                f"agent {self.name}: concurrency must be a whole number, got {concurrency!r}"
            )
        self.concurrency: int = concurrency or 1
        self.help: str = help if help is not None else inspect.getdoc(fun) or ""
        self.isolated_partitions: bool = isolated_partitions
        self.use_reply_headers = use_reply_headers
        self.supervisor_strategy: type[mode.SupervisorStrategyT] | None = _strategy(
            supervisor_strategy, self.name
        )
        self.supervisor: Any = None
        if isolated_partitions and self.concurrency > 1:
            raise ImproperlyConfigured(
                f"agent {self.name}: isolated_partitions and concurrency > 1 exclude each other"
            )
        self._on_error = on_error
        self._channel_arg = channel
        self._channel: Channel[Any] | None = None
        self._answers = Answers(self.name, app)
        for one in sink or ():
            self.add_sink(one)
        self._actors: list[Actor] = []
        self._subscription: Any = None
        self._types = {"schema": schema, "key_type": key_type, "value_type": value_type}
        if isinstance(channel, Channel):
            for option, given in self._types.items():
                if given is not None:
                    raise AssertionError(
                        f"agent {self.name}: {option} belongs to the channel given, set it there"
                    )
            if topic_kwargs:
                warnings.warn(
                    f"agent {self.name}: {', '.join(sorted(topic_kwargs))} has no effect: it would be an option of a topic "
                    "made from a name, and the agent was given a channel. Set it there",
                    FaustWarning,
                    stacklevel=3,
                )
        self._topic_kwargs = topic_kwargs
        agents: Any = app.agents
        super().__init__(beacon=agents.beacon)

    # -- the channel

    @property
    def channel(self) -> Any:
        """The channel or topic this agent reads; made on first use.

        Raises:
            TypeError: The agent was given something that is neither a channel nor a name.
        """
        if self._channel is None:
            self._channel = self._make_channel(self._channel_arg)
        return self._channel

    @channel.setter
    def channel(self, channel: Any) -> None:
        self._channel = channel

    @property
    def channel_iterator(self) -> Any:
        """What the first actor's stream iterates; None while the agent does not run."""
        return self._actors[0].stream.channel if self._actors else None

    def _make_channel(self, channel: Any) -> Channel[Any]:
        options = {"internal": True, **self._types, **self._topic_kwargs}
        if channel is None:
            name = f"{self.app.conf.id}-{self.name}"
            return cast("Channel[Any]", self.app.topic(name, **{"has_prefix": True, **options}))
        if isinstance(channel, str):
            return cast("Channel[Any]", self.app.topic(channel, **options))
        if isinstance(channel, Channel):
            return channel
        raise TypeError(
            f"agent {self.name}: channel must be a topic, a channel or a name, got {channel!r}"
        )

    def get_topic_names(self) -> list[str]:
        """Return the names of the topics this agent reads; none for a channel."""
        channel = self.channel
        return list(channel.topics) if isinstance(channel, Topic) else []

    # -- sinks

    def add_sink(self, sink: SinkT) -> None:
        """Send what the agent yields to *sink*, too; at any time, and once however often it is added.

        Raises:
            TypeError: It is none.
        """
        if isinstance(sink, Agent | Channel):
            self._answers.add(sink, _sender_to(sink), waits=True)
        elif callable(sink):
            self._answers.add(sink, sink, waits=False)
        else:
            raise TypeError(
                f"agent {self.name}: a sink is an agent, a channel or topic, or a function, got {sink!r}"
            )

    def remove_sink(self, sink: SinkT) -> None:
        """Send nothing more to *sink*.

        Raises:
            ValueError: It is no sink of this agent.
        """
        self._answers.remove(sink)

    # -- copies

    def info(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            "app": self.app,
            "fun": self.fun,
            "name": self.name,
            "channel": self._channel_arg if self._channel is None else self._channel,
            "concurrency": self.concurrency,
            "help": self.help,
            "sink": self._answers.sinks,
            "on_error": self._on_error,
            "supervisor_strategy": self.supervisor_strategy,
            "isolated_partitions": self.isolated_partitions,
            "use_reply_headers": self.use_reply_headers,
            **self._types,
            **self._topic_kwargs,
        }

    def clone(self, *, cls: type[Agent[Any, Any]] | None = None, **overrides: Any) -> Any:
        """Make an agent like this one; it is not registered with the app."""
        arguments = {**self.info(), **overrides}
        if isinstance(arguments["channel"], Channel):
            for option in (*self._types, *self._topic_kwargs):
                if option not in overrides:
                    arguments.pop(option)
        return (type(self) if cls is None else cls)(**arguments)

    def test_context(
        self,
        channel: Channel[Any] | None = None,
        supervisor_strategy: type[mode.SupervisorStrategyT] | str | None = None,
        on_error: OnError | None = None,
        **overrides: Any,
    ) -> Any:
        """Return a copy of this agent to be tested alone, for use in ``async with``.

        Arguments:
            channel: What the copy reads; None: a new in-memory channel.
            supervisor_strategy: None: `mode.CrashingSupervisor`, so that the first error ends the test.
            on_error: ``on_error(agent, exc)``, called (and awaited) before the copy counts as crashed.
            overrides: Other arguments of `Agent`.

        Returns:
            A `faust.agents.testing.AgentTestWrapper`.
        """
        return self.clone(
            cls=symbol_by_name("faust.agents.testing:AgentTestWrapper"),
            channel=self.app.channel() if channel is None else channel,
            original_channel=self.channel,
            supervisor_strategy=supervisor_strategy or mode.CrashingSupervisor,
            on_error=on_error,
            **overrides,
        )

    # -- life

    async def on_start(self) -> None:
        """Start the actors, under their supervisor."""
        strategy = self.supervisor_strategy or self.app.conf.agent_supervisor
        supervisor: Any = corrected(strategy)(
            max_restarts=100.0,
            over=1.0,
            replacement=self._replace,
            loop=self.loop,
            beacon=self.beacon,
        )
        if self.isolated_partitions and isinstance(self.channel, Topic):
            self._subscription = self._isolated_iterator()
            self._actors = [self._new_actor(self._isolated_iterator())]
        else:
            self._actors = self._sharing_actors()
        supervisor.add(*self._actors)
        self.supervisor = supervisor
        await supervisor.start()

    def _sharing_actors(self) -> list[Actor]:
        """Make the actors, which share one queue."""
        iterator = self.channel.__aiter__()
        if self.concurrency > 1:
            topics = self.app.topics
            routed = iterator in topics
            topics.discard(iterator)  # its lanes of partitions held already lead to its own mailbox
            own = iterator.mailbox
            mailbox = Mailbox(shared=True, maxsize=own.maxsize, fair=own.fair)
            if own.flow is not None:
                own.flow.govern(mailbox)
            iterator._mailbox = mailbox
            if routed:
                topics.add(iterator)
        return [
            self._new_actor(iterator, index=number if self.concurrency > 1 else None)
            for number in range(self.concurrency)
        ]

    def _new_actor(self, iterator: Any, index: int | None = None) -> Actor:
        stream = self.stream(
            iterator, concurrency_index=index, active_partitions=iterator.active_partitions
        )
        return self._actor(stream, index, self.beacon)

    def _actor(self, stream: Stream[Any], index: int | None, beacon: Any = None) -> Actor:
        """Call the function over *stream*."""
        it: Any = self.fun(stream)
        yields = hasattr(it, "__aiter__")
        if not yields and not inspect.isawaitable(it):
            raise ImproperlyConfigured(
                f"agent {self.name}: its function returned {it!r}, which can be neither awaited nor iterated: "
                "write it as `async def`"
            )
        if not yields and self._answers.sinks:
            it.close()
            raise ImproperlyConfigured(
                f"agent {self.name} has sinks but its function yields nothing: use `yield value` in it"
            )
        cls = AsyncIterableActor if yields else AwaitableActor
        return cls(
            cast("Any", self),
            stream,
            it,
            index=index,
            active_partitions=stream.active_partitions,
            beacon=beacon,
        )

    async def _replace(self, old: Any, _index: int) -> Actor:
        """Make the successor of an actor, over the same stream."""
        await old.stop()
        old.stream._note_left(old.actor_task)
        await old.stream.rewind()
        new = self._actor(old.stream, old.index, self.beacon)
        self._actors[self._actors.index(old)] = new
        return new

    def cancel(self) -> None:
        """Ask the actors to end."""
        for actor in self._actors:
            actor.cancel()

    async def on_stop(self) -> None:
        """Cancel the actors, wait for their end, and stop reading."""
        supervisor, self.supervisor = self.supervisor, None
        if supervisor is not None:
            await supervisor.stop()
            supervisor.beacon.detach(self.beacon)
        actors, self._actors = self._actors, []
        for actor in actors:
            await _end(actor)
        if self._subscription is not None:
            self._subscription.on_stop_iteration()
            self._subscription = None

    async def wait_until_reading(self, timeout: float) -> None:
        """Wait until every actor iterates its stream, or has ended.

        Raises:
            TimeoutError: One of them does not within *timeout* seconds.
        """
        async with asyncio.timeout(timeout):
            for actor in self.actors:
                while not actor.stream.get_active_stream().reading.is_set():
                    if actor.actor_task is None or actor.actor_task.done():
                        break
                    await asyncio.sleep(0.001)

    # -- isolated partitions

    def _isolated_iterator(self) -> Any:
        iterator = self.channel.clone(is_iterator=True, active_partitions=set())
        self.app.topics.add(iterator)
        return iterator

    async def on_rebalance(self, revoked: Collection[TP], newly_assigned: Collection[TP]) -> None:
        """Stop the actors of partitions that have gone, and start one for each that has come."""
        if self._subscription is None:
            return
        for actor in self.actors:
            if actor.active_partitions and actor.active_partitions <= set(revoked):
                await self._dismiss(actor)
        for tp in sorted(tp for tp in newly_assigned if self.channel.matches(tp.topic)):
            await self._employ(tp)

    async def _dismiss(self, actor: Actor) -> None:
        self.supervisor.discard(actor)
        self._actors.remove(actor)
        await _end(actor)

    async def _employ(self, tp: TP) -> None:
        idle = next((actor for actor in self._actors if not actor.active_partitions), None)
        if idle is not None and idle.active_partitions is not None:
            idle.active_partitions.add(tp)
            return
        iterator = self._isolated_iterator()
        iterator.active_partitions.add(tp)
        actor = self._new_actor(iterator)
        self._actors.append(actor)
        self.supervisor.add(actor)
        await self.supervisor.start_services([actor])

    # -- actors

    @property
    def actors(self) -> list[Actor]:
        """The running actors."""
        return list(self._actors)

    def actor_tracebacks(self) -> list[str]:
        """Show where each actor waits now."""
        return [actor.traceback() for actor in self._actors]

    def places(self) -> Iterator[str]:
        """Say of each actor where it waits."""
        for actor in self._actors:
            place = place_of(actor.it)
            yield f"{self.name} waits at {place}" if place else f"{self.name} does not run"

    def stream(self, channel: Any = None, **options: Any) -> Stream[T]:
        """Make a stream over this agent's channel."""
        made: Stream[T] = self.app.stream(
            self.channel if channel is None else channel, prefix=self.name, **options
        )
        return made

    def __call__(
        self,
        *,
        index: int | None = None,
        active_partitions: set[TP] | None = None,
        stream: Stream[T] | None = None,
        channel: Any = None,
    ) -> Any:
        """Call the function over a stream of your own; what it yields can be iterated."""
        if stream is None:
            stream = self.stream(
                channel, concurrency_index=index, active_partitions=active_partitions
            )
        return self._actor(stream, index)

    async def consume(self, actor: Actor) -> None:
        """Run an actor's function to its end, and pass on what it yields."""
        if isinstance(actor, AsyncIterableActor):
            passed_on = self._answers.passing_on(actor.stream, self.channel)
            async for value in actor:
                await passed_on(value)
        else:
            await actor.it

    async def on_actor_error(self, exc: BaseException, place: Place | None) -> None:
        """Tell sensors, the consumer and the user's handler that an actor has raised."""
        tp = None if place is None else TP(place.topic, place.partition)
        try:
            self.app.sensors.on_agent_error(self, exc, tp)
        finally:
            if self._on_error is not None:
                await maybe_async(self._on_error(self, exc))

    @property
    def label(self) -> str:
        """Name for people and logs."""
        return f"Agent: {self.name}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.state} {self.name}>"


async def _end(actor: Actor) -> None:
    """Stop an actor for good, and what it reads."""
    await actor.stop()
    await actor.stream.stop()
    await actor.stream._stop_left(actor.actor_task)


def _name_of(fun: Any) -> str:
    """Name an agent after its module and function."""
    return f"{module_name(getattr(fun, '__module__', ''))}.{getattr(fun, '__name__', type(fun).__name__)}"


def _strategy(strategy: Any, agent: str) -> type[mode.SupervisorStrategyT] | None:
    """Find the class of a supervisor, which may be given by its path."""
    try:
        found = symbol_by_name(strategy) if strategy and isinstance(strategy, str) else strategy
    except (ImportError, AttributeError, ValueError) as exc:
        raise TypeError(f"agent {agent}: supervisor_strategy={strategy!r}: {exc}") from exc
    if found and not isinstance(found, type):
        raise TypeError(
            f"agent {agent}: supervisor_strategy must be a class, or its path such as "
            f"'mode.OneForOneSupervisor', got {strategy!r}"
        )
    return found or None


def _sender_to(sink: Any) -> Callable[[Any], Awaitable[Any]]:
    def send(value: Any) -> Awaitable[Any]:
        sent: Awaitable[Any] = sink.send(value=value)
        return sent

    return send
