"""What an application declares: topics, channels, streams, agents and tables.

Each method hands its arguments to the class that the settings name. What is written out here is how
types flow: the type that a topic or a table is given becomes the type of what comes out of it.
"""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable
from typing import Any, Protocol, TypeVar, Unpack, cast, overload

from faust.agents.agent import Agent, AgentOptions
from faust.app.scheduling import SchedulingApp
from faust.channels import Channel
from faust.exceptions import FaustWarning, ImproperlyConfigured
from faust.messages import K, V
from faust.ports import AppT
from faust.streams.stream import Stream
from faust.tables.base import Collection, TableOptions
from faust.tables.sets import SetGlobalTable as _SetGlobalTable
from faust.tables.sets import SetTable as _SetTable
from faust.tables.setwindows import SetWindowWrapper
from faust.tables.table import GlobalTable as _GlobalTable
from faust.tables.table import Table as _Table
from faust.tables.windowed import WindowWrapper
from faust.topics.topic import Topic, TopicOptions
from faust.utils.signatures import show_options
from faust.windows import Window

__all__ = ["DeclaringApp"]

T = TypeVar("T")
R = TypeVar("R")


class AgentDecorator(Protocol[T]):
    """Takes a function of a stream of a known type; what it yields is what asking it gives."""

    @overload
    def __call__(self, fun: Callable[[Stream[T]], AsyncIterable[R]], /) -> Agent[T, R]: ...
    @overload
    def __call__(self, fun: Callable[[Stream[T]], Awaitable[Any]], /) -> Agent[T]: ...


class DeclaredTopicOptions(TopicOptions, total=False):
    """What `faust.App.topic` takes beside the options of `Topic`."""

    delivery_guarantee: str | None


class DeclaringApp(SchedulingApp):
    """The storey of `faust.App` where the parts of a program are made."""

    @overload
    def topic(
        self,
        *topics: str,
        key_type: type[K],
        value_type: type[V],
        **options: Unpack[DeclaredTopicOptions],
    ) -> Topic[K, V]: ...
    @overload
    def topic(
        self,
        *topics: str,
        key_type: None = None,
        value_type: type[V],
        **options: Unpack[DeclaredTopicOptions],
    ) -> Topic[Any, V]: ...
    @overload
    def topic(
        self,
        *topics: str,
        key_type: type[K],
        value_type: None = None,
        **options: Unpack[DeclaredTopicOptions],
    ) -> Topic[K, Any]: ...
    @overload
    def topic(
        self,
        *topics: str,
        key_type: Any = None,
        value_type: Any = None,
        **options: Unpack[DeclaredTopicOptions],
    ) -> Topic[Any, Any]: ...
    def topic(
        self, *topics: str, delivery_guarantee: str | None = None, **options: Any
    ) -> Topic[Any, Any]:
        """Describe a topic; see `faust.Topic` for the options. Nothing is declared on the broker.

        Raises:
            ImproperlyConfigured: *delivery_guarantee* is not what setting ``processing_guarantee`` gives all topics.
        """
        app = cast("AppT", self)
        guarantee = app.conf.processing_guarantee.value
        if delivery_guarantee not in {None, guarantee}:
            raise ImproperlyConfigured(
                f"topic {','.join(topics)}: delivery_guarantee={delivery_guarantee!r}: a topic has the guarantee of its "
                f"app, which is {guarantee!r}; see setting processing_guarantee"
            )
        return app.conf.Topic(app, topics=topics, **options)  # type: ignore[no-any-return]

    @overload
    def channel(
        self, *, value_type: type[V], key_type: Any = None, **options: Any
    ) -> Channel[V]: ...
    @overload
    def channel(
        self, *, value_type: Any = None, key_type: Any = None, **options: Any
    ) -> Channel[Any]: ...
    def channel(self, **options: Any) -> Channel[Any]:
        """Make an in-memory channel; see `faust.Channel` for the options."""
        return Channel(cast("AppT", self), **options)

    @overload
    def stream(self, channel: Channel[T], beacon: Any = None, **options: Any) -> Stream[T]: ...
    @overload
    def stream(
        self,
        channel: AsyncIterable[T] | Iterable[T],
        beacon: Any = None,
        **options: Any,
    ) -> Stream[T]: ...
    def stream(self, channel: Any, beacon: Any = None, **options: Any) -> Stream[Any]:
        """Make a stream over a topic, a channel or any iterable."""
        source = channel.__aiter__() if isinstance(channel, Channel) else channel
        app = cast("AppT", self)
        return app.conf.Stream(source, app=app, beacon=beacon, **options)  # type: ignore[no-any-return]

    @overload
    def agent(
        self,
        channel: Channel[T],
        **options: Unpack[AgentOptions],
    ) -> AgentDecorator[T]: ...
    @overload
    def agent(
        self,
        channel: str | None = None,
        *,
        key_type: Any = None,
        value_type: type[T],
        **options: Unpack[AgentOptions],
    ) -> AgentDecorator[T]: ...
    @overload
    def agent(
        self,
        channel: str | None = None,
        *,
        key_type: Any = None,
        value_type: Any = None,
        **options: Unpack[AgentOptions],
    ) -> AgentDecorator[Any]: ...
    def agent(
        self,
        channel: Channel[Any] | str | None = None,
        *,
        concurrency: int = 1,
        isolated_partitions: bool = False,
        use_reply_headers: bool | None = True,
        **options: Any,
    ) -> Any:
        """Make an agent of the decorated function; see `faust.Agent`.

        A second agent of the same name takes the place of the first, with a `FaustWarning`.
        """
        if callable(channel):
            raise TypeError("use @app.agent() with parentheses")
        if isolated_partitions and concurrency > 1:
            raise ImproperlyConfigured("isolated_partitions and concurrency > 1 exclude each other")

        app = cast("AppT", self)

        def decorate(fun: Callable[..., Any]) -> Agent[Any]:
            agent: Agent[Any] = app.conf.Agent(
                fun,
                app=app,
                channel=channel,
                concurrency=concurrency,
                isolated_partitions=isolated_partitions,
                use_reply_headers=use_reply_headers,
                **options,
            )
            if agent.name in app.agents:
                warnings.warn(
                    f"two agents are named {agent.name!r}: the second one takes the place of the first, which will not "
                    "run; give one of them another name=",
                    FaustWarning,
                    stacklevel=2,
                )
            app.agents[agent.name] = agent
            return agent

        return decorate

    actor = agent

    @overload
    def Table(
        self,
        name: str,
        *,
        window: Window,
        default: Callable[[], Any] | None = None,
        key_type: Any = None,
        value_type: Any = None,
        **options: Any,
    ) -> WindowWrapper: ...
    @overload
    def Table(
        self,
        name: str,
        *,
        default: Callable[[], V] | None = None,
        key_type: type[K],
        value_type: type[V],
        **options: Unpack[TableOptions],
    ) -> _Table[K, V]: ...
    @overload
    def Table(
        self,
        name: str,
        *,
        default: Callable[[], V],
        key_type: type[K],
        **options: Unpack[TableOptions],
    ) -> _Table[K, V]: ...
    @overload
    def Table(
        self,
        name: str,
        *,
        default: Callable[[], V] | None = None,
        value_type: type[V],
        **options: Unpack[TableOptions],
    ) -> _Table[Any, V]: ...
    @overload
    def Table(
        self,
        name: str,
        *,
        default: Callable[[], V],
        **options: Unpack[TableOptions],
    ) -> _Table[Any, V]: ...
    @overload
    def Table(
        self,
        name: str,
        *,
        default: Any = None,
        key_type: Any = None,
        value_type: Any = None,
        **options: Unpack[TableOptions],
    ) -> _Table[Any, Any]: ...
    def Table(self, name: str, **options: Any) -> Any:  # noqa: N802 - the documented name
        """Make a table; see `faust.Table` for the options. With a window: the table seen through it."""
        return self._add_table(self.conf.Table, name, options)

    table = Table

    @overload
    def GlobalTable(
        self,
        name: str,
        *,
        window: Window,
        default: Callable[[], Any] | None = None,
        key_type: Any = None,
        value_type: Any = None,
        **options: Any,
    ) -> WindowWrapper: ...
    @overload
    def GlobalTable(
        self,
        name: str,
        *,
        default: Callable[[], V] | None = None,
        key_type: type[K],
        value_type: type[V],
        **options: Unpack[TableOptions],
    ) -> _GlobalTable[K, V]: ...
    @overload
    def GlobalTable(
        self,
        name: str,
        *,
        default: Callable[[], V],
        key_type: Any = None,
        value_type: Any = None,
        **options: Unpack[TableOptions],
    ) -> _GlobalTable[Any, V]: ...
    @overload
    def GlobalTable(
        self,
        name: str,
        *,
        default: Any = None,
        key_type: Any = None,
        value_type: Any = None,
        **options: Unpack[TableOptions],
    ) -> _GlobalTable[Any, Any]: ...
    def GlobalTable(self, name: str, **options: Any) -> Any:  # noqa: N802 - the documented name
        """Make a table of which every worker has all partitions; see `faust.GlobalTable`."""
        return self._add_table(self.conf.GlobalTable, name, options)

    @overload
    def SetTable(
        self,
        name: str,
        *,
        window: Window,
        start_manager: bool = False,
        key_type: Any = None,
        value_type: Any = None,
        **options: Any,
    ) -> SetWindowWrapper: ...
    @overload
    def SetTable(
        self,
        name: str,
        *,
        start_manager: bool = False,
        key_type: type[K],
        value_type: type[V],
        **options: Any,
    ) -> _SetTable[K, V]: ...
    @overload
    def SetTable(
        self,
        name: str,
        *,
        start_manager: bool = False,
        value_type: type[V],
        **options: Any,
    ) -> _SetTable[Any, V]: ...
    @overload
    def SetTable(
        self,
        name: str,
        *,
        start_manager: bool = False,
        key_type: Any = None,
        value_type: Any = None,
        **options: Any,
    ) -> _SetTable[Any, Any]: ...
    def SetTable(self, name: str, **options: Any) -> Any:  # noqa: N802 - the documented name
        """Make a table of sets; see `faust.SetTable`."""
        return self._add_table(self.conf.SetTable, name, options)

    @overload
    def SetGlobalTable(
        self,
        name: str,
        *,
        window: Window,
        start_manager: bool = False,
        key_type: Any = None,
        value_type: Any = None,
        **options: Any,
    ) -> SetWindowWrapper: ...
    @overload
    def SetGlobalTable(
        self,
        name: str,
        *,
        start_manager: bool = False,
        key_type: type[K],
        value_type: type[V],
        **options: Any,
    ) -> _SetGlobalTable[K, V]: ...
    @overload
    def SetGlobalTable(
        self,
        name: str,
        *,
        start_manager: bool = False,
        value_type: type[V],
        **options: Any,
    ) -> _SetGlobalTable[Any, V]: ...
    @overload
    def SetGlobalTable(
        self,
        name: str,
        *,
        start_manager: bool = False,
        key_type: Any = None,
        value_type: Any = None,
        **options: Any,
    ) -> _SetGlobalTable[Any, Any]: ...
    def SetGlobalTable(self, name: str, **options: Any) -> Any:  # noqa: N802 - the documented name
        """Make a table of sets of which every worker has all partitions; see `faust.SetGlobalTable`."""
        return self._add_table(self.conf.SetGlobalTable, name, options)

    def _add_table(self, cls: Any, name: str, options: dict[str, Any]) -> Any:
        window = options.pop("window", None)
        table = cls(cast("AppT", self), name=name, **options)
        self.tables.add(table)
        return table if window is None else table.using_window(window)


_SURROUNDINGS = ("app", "topics", "is_iterator", "active_partitions", "beacon", "is_global", "fun")

show_options(DeclaringApp.topic, Topic, hidden=_SURROUNDINGS)
show_options(DeclaringApp.channel, Channel, hidden=(*_SURROUNDINGS, "root"))
show_options(DeclaringApp.stream, Stream, hidden=_SURROUNDINGS)
show_options(DeclaringApp.agent, Agent, hidden=_SURROUNDINGS)
show_options(DeclaringApp.Table, Collection, hidden=_SURROUNDINGS)
show_options(DeclaringApp.GlobalTable, Collection, hidden=_SURROUNDINGS)
show_options(DeclaringApp.SetTable, _SetTable, Collection, hidden=_SURROUNDINGS)
show_options(DeclaringApp.SetGlobalTable, _SetTable, Collection, hidden=_SURROUNDINGS)
