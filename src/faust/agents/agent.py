"""Agent: the function, its channel, its actors and its sinks."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable
from typing import Any, Generic, TypeAlias, TypeVar, cast

from mode import CrashingSupervisor, OneForOneSupervisor

from faust.agents.actor import Actor, RestartBudget
from faust.channels import Channel
from faust.exceptions import ImproperlyConfigured
from faust.mailbox import Mailbox
from faust.messages import HeadersArg
from faust.ports import AppT
from faust.streams.stream import Stream
from faust.topics import Topic, TopicOptions
from faust.utils.names import module_name

__all__ = ["Agent", "AgentFun", "AgentOptions"]

T = TypeVar("T")

logger: logging.Logger = logging.getLogger(__name__)

AgentFun: TypeAlias = Callable[[Stream[T]], Awaitable[Any] | AsyncIterable[Any]]
"""What becomes an agent; with ``yield`` in it, it is an async generator."""


class AgentOptions(TopicOptions, total=False):
    """The options of `Agent` that `faust.App.agent` passes on, without those that make its type."""

    name: str | None
    concurrency: int
    sink: Iterable[Any] | None
    on_error: Callable[[Any, BaseException], Awaitable[None]] | None
    supervisor_strategy: Any
    help: str | None
    isolated_partitions: bool
    use_reply_headers: bool | None


class Agent(Generic[T]):
    """A function that processes a stream.

    Arguments:
        fun: ``async def fun(stream)``; with ``yield`` in it its values go to the sinks.
        app: The application.
        name: Default: module and name of the function.
        channel: A channel or topic, or a topic's name; None: topic ``{app id}-{name}``.
        concurrency: Number of actors in each worker; each message goes to one of them.
        sink: Where yielded values go: functions, agents, channels or topics.
        on_error: ``async def on_error(agent, exc)``, awaited when the function raises.
        supervisor_strategy: ``mode.OneForOneSupervisor`` (restart, the default) or ``mode.CrashingSupervisor``.
        key_type: Type of keys of the topic made from a name.
        value_type: Type of values of the topic made from a name.
        topic_kwargs: Other options of that topic.
    """

    def __init__(
        self,
        fun: AgentFun[T],
        *,
        app: AppT,
        name: str | None = None,
        channel: Channel[Any] | str | None = None,
        concurrency: int = 1,
        sink: Iterable[Any] | None = None,
        on_error: Callable[[Any, BaseException], Awaitable[None]] | None = None,
        supervisor_strategy: Any = None,
        help: str | None = None,
        schema: Any = None,
        key_type: Any = None,
        value_type: Any = None,
        isolated_partitions: bool = False,
        use_reply_headers: bool | None = None,
        **topic_kwargs: Any,
    ) -> None:
        if isolated_partitions:
            raise ImproperlyConfigured(
                "isolated_partitions is not supported yet: one actor reads all partitions of this worker"
            )
        self.app = app
        self.fun = fun
        self.name: str = name or _name_of(fun)
        self.concurrency: int = concurrency or 1
        self.help: str = help if help is not None else inspect.getdoc(fun) or ""
        self.use_reply_headers = use_reply_headers
        self.supervisor_strategy = supervisor_strategy
        self._on_error = on_error
        self._channel_arg = channel
        self._channel: Channel[Any] | None = None
        self._sinks: list[Any] = list(sink or ())
        self._actors: list[Actor] = []
        if isinstance(channel, Channel):
            for option in (schema, key_type, value_type):
                assert option is None, (
                    f"agent {self.name}: schema, key_type and value_type belong to the channel given"
                )
        self._topic_kwargs = {
            "schema": schema,
            "key_type": key_type,
            "value_type": value_type,
            **topic_kwargs,
        }

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

    def _make_channel(self, channel: Any) -> Channel[Any]:
        if channel is None:
            name = f"{self.app.conf.id}-{self.name}"
            return cast(
                "Channel[Any]",
                self.app.topic(name, internal=True, has_prefix=True, **self._topic_kwargs),
            )
        if isinstance(channel, str):
            topic = self.app.topic(channel, internal=True, **self._topic_kwargs)
            return cast("Channel[Any]", topic)
        if isinstance(channel, Channel):
            return channel
        raise TypeError(
            f"agent {self.name}: channel must be a topic, a channel or a name, got {channel!r}"
        )

    def get_topic_names(self) -> list[str]:
        """Return the names of the topics this agent reads; none for a channel."""
        channel = self.channel
        return list(channel.topics) if isinstance(channel, Topic) else []

    def add_sink(self, sink: Any) -> None:
        """Send what the agent yields to *sink*, too."""
        if sink not in self._sinks:
            self._sinks.append(sink)

    # -- life

    async def start(self, crash: Callable[[BaseException], Awaitable[None]]) -> None:
        """Start the actors; *crash* is awaited with an error that must stop the worker."""
        restart = self._restarts()
        iterator = self.channel.__aiter__()
        if self.concurrency > 1:
            mailbox = Mailbox(shared=True, maxsize=iterator.mailbox.maxsize)
            mailbox.relieved = iterator.mailbox.relieved
            iterator._mailbox = mailbox
        budget = RestartBudget()
        for number in range(self.concurrency):
            index = number if self.concurrency > 1 else None
            stream = self.stream(iterator, concurrency_index=index)
            actor = Actor(
                self.name,
                index,
                stream,
                self._run,
                self._failed,
                crash,
                restart=restart,
                budget=budget,
            )
            self._actors.append(actor)
            actor.start()

    def _restarts(self) -> bool:
        strategy = self.supervisor_strategy or self.app.conf.agent_supervisor
        if strategy is OneForOneSupervisor:
            return True
        if strategy is CrashingSupervisor:
            return False
        raise ImproperlyConfigured(
            f"agent {self.name}: supervisor {strategy!r} is not supported yet;"
            " use mode.OneForOneSupervisor or mode.CrashingSupervisor"
        )

    async def stop(self) -> None:
        """Cancel the actors and wait for their end."""
        actors, self._actors = self._actors, []
        await asyncio.gather(*(actor.stop() for actor in actors))

    async def wait_until_reading(self, timeout: float) -> None:
        """Wait until every actor iterates its stream, or has ended."""
        streams = [actor.stream.get_active_stream() for actor in self._actors]
        async with asyncio.timeout(timeout):
            for actor, stream in zip(self._actors, streams, strict=True):
                while not stream.get_active_stream().reading.is_set():
                    if actor.actor_task is None or actor.actor_task.done():
                        break
                    await asyncio.sleep(0.001)

    @property
    def actors(self) -> list[Actor]:
        """The running actors."""
        return list(self._actors)

    def stream(self, channel: Any = None, **options: Any) -> Stream[T]:
        """Make a stream over this agent's channel."""
        made: Stream[T] = self.app.stream(
            self.channel if channel is None else channel, prefix=self.name, **options
        )
        return made

    async def _run(self, stream: Stream[Any]) -> None:
        """Call the function, and pass on what it yields."""
        result: Any = self.fun(stream)
        if hasattr(result, "__aiter__"):
            async for value in result:
                for sink in self._sinks:
                    await _deliver(sink, value)
            return
        if self._sinks:
            result.close()
            raise ImproperlyConfigured(
                f"agent {self.name} has sinks but its function yields nothing: use `yield value` in it"
            )
        await result

    async def _failed(self, error: BaseException) -> None:
        if self._on_error is not None:
            await self._on_error(self, error)

    # -- sending

    async def cast(
        self,
        value: Any = None,
        *,
        key: Any = None,
        partition: int | None = None,
        timestamp: float | None = None,
        headers: HeadersArg = None,
    ) -> None:
        """Send the agent a message; nothing is waited for."""
        await self.send(
            key=key, value=value, partition=partition, timestamp=timestamp, headers=headers
        )

    async def send(
        self,
        *,
        key: Any = None,
        value: Any = None,
        partition: int | None = None,
        timestamp: float | None = None,
        headers: HeadersArg = None,
        key_serializer: Any = None,
        value_serializer: Any = None,
        callback: Callable[[Any], Any] | None = None,
        force: bool = False,
    ) -> Any:
        """Send the agent a message; arguments and result as `faust.Topic.send`."""
        return await self.channel.send(
            key=key,
            value=value,
            partition=partition,
            timestamp=timestamp,
            headers=headers,
            key_serializer=key_serializer,
            value_serializer=value_serializer,
            callback=callback,
            force=force,
        )

    def __call__(self, stream: Stream[T]) -> Any:
        """Call the agent's function over a stream of your own."""
        return self.fun(stream)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.name}>"


async def _deliver(sink: Any, value: Any) -> None:
    """Give a yielded value to one sink."""
    if isinstance(sink, Agent | Channel):
        await sink.send(value=value)
        return
    result = sink(value)
    if inspect.isawaitable(result):
        await result


def _name_of(fun: Any) -> str:
    """Name an agent after its module and function."""
    return f"{module_name(getattr(fun, '__module__', ''))}.{getattr(fun, '__name__', type(fun).__name__)}"
