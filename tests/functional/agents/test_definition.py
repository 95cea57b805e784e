"""agents.md 1: what becomes an agent, what it is called, what it reads."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import mode
import pytest

import faust
from faust.agents import current_agent
from faust.exceptions import ImproperlyConfigured
from tests.support.apps import committed_everything, eventually, make_app, running

Name = Callable[..., str]


async def nothing(stream: Any) -> None:
    """Read everything, and do nothing."""
    async for _ in stream:
        pass


def test_names() -> None:
    """agents.md 1: the name is module and function; the topic adds the id, with its version; a name is taken as it is."""
    app = faust.App("t", version=3)
    agent = app.agent()(nothing)
    assert agent.name == f"{__name__}.nothing"
    assert agent.channel.get_topic_name() == f"t-v3-{__name__}.nothing"
    assert agent.channel.internal
    assert agent.channel.has_prefix
    named = app.agent(name="a1.noname")(nothing)
    assert named.channel.get_topic_name() == "t-v3-a1.noname"
    assert list(app.agents) == [agent.name, "a1.noname"]
    with pytest.warns(faust.exceptions.FaustWarning, match="two agents are named 'a1.noname'"):
        again = app.agent(name="a1.noname")(nothing)
    assert app.agents["a1.noname"] is again
    assert repr(again) == "<Agent: init a1.noname>"


def test_what_may_be_read() -> None:
    """agents.md 1: a name, a topic of several names, a channel; anything else is a TypeError when it is looked at."""
    app = faust.App("t")
    by_name = app.agent("orders", name="by_name", value_type=int, partitions=3)(nothing)
    assert by_name.get_topic_names() == ["orders"]
    assert by_name.channel.internal
    assert by_name.channel.partitions == 3
    assert by_name.channel.value_type is int
    several = app.agent(app.topic("a", "b"), name="several")(nothing)
    assert several.get_topic_names() == ["a", "b"]
    local = app.agent(app.channel(), name="local")(nothing)
    assert local.get_topic_names() == []
    wrong = app.agent(7, name="wrong")(nothing)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="channel"):
        _ = wrong.channel


def test_options_that_an_agent_sets_itself() -> None:
    """agents.md 1: internal and has_prefix are options of the topic like others, and win."""
    app = faust.App("t")
    for name in (None, "orders"):
        mine = app.agent(name, name=f"mine-{name}", internal=True, has_prefix=False)(nothing)
        assert (mine.channel.internal, mine.channel.has_prefix) == (True, False)
        others = app.agent(name, name=f"others-{name}", internal=False)(nothing)
        assert (others.channel.internal, others.channel.has_prefix) == (False, name is None)


@pytest.mark.parametrize("path", ["mode.CrashingSupervisor", "mode:CrashingSupervisor"])
async def test_strategies_by_their_paths(memory_url: str, topic_name: Name, path: str) -> None:
    """agents.md 1: the supervisor is a class, or the path of one."""
    app = make_app(memory_url, topic_name("app"))
    agent = app.agent(name="a", supervisor_strategy=path)(nothing)
    assert agent.supervisor_strategy is mode.CrashingSupervisor
    assert agent.clone().supervisor_strategy is mode.CrashingSupervisor
    async with running(app):
        assert isinstance(agent.supervisor, mode.CrashingSupervisor)


@pytest.mark.parametrize("wrong", ["nope", "mode", "mode.Nope", "no.such:Thing", 7, print])
def test_what_is_no_strategy(wrong: Any) -> None:
    """agents.md 1: anything else is refused, by the name of the agent, where it is declared."""
    app = faust.App("t")
    with pytest.raises(TypeError, match="agent busy: supervisor_strategy"):
        app.agent(name="busy", supervisor_strategy=wrong)(nothing)


async def test_what_is_no_coroutine_function(memory_url: str, topic_name: Name) -> None:
    """agents.md 1: a function that gives nothing to await or iterate is told at the start, once."""
    app = make_app(memory_url, topic_name("app"))

    @app.agent(name="plain", sink=[print])  # type: ignore[arg-type]
    def plain(stream: Any) -> None: ...

    with pytest.raises(ImproperlyConfigured, match=r"agent plain: .* None, .* `async def`"):
        await app.start()
    await app.stop()


def test_what_excludes_what() -> None:
    """agents.md 1: types belong to the channel given; isolation and concurrency exclude each other; parentheses."""
    app = faust.App("t")
    for option in ({"value_type": int}, {"key_type": int}, {"schema": faust.Schema()}):
        with pytest.raises(AssertionError, match="channel"):
            app.agent(app.topic("x"), **option)(nothing)
    for given in (app.topic("x"), app.channel()):
        with pytest.warns(
            faust.exceptions.FaustWarning, match="agent a: on_eror, partitions has no"
        ) as told:
            agent = app.agent(given, name="a", on_eror=print, partitions=3)(nothing)  # type: ignore[call-overload]
        assert told[0].filename == __file__
        del app.agents["a"]
        assert agent.clone().channel is given  # which says it no second time
    with pytest.raises(ImproperlyConfigured, match="isolated"):
        app.agent(isolated_partitions=True, concurrency=2)(nothing)
    with pytest.raises(ImproperlyConfigured, match="isolated"):
        faust.Agent(nothing, app=app, isolated_partitions=True, concurrency=2)
    with pytest.raises(TypeError, match="parentheses"):
        app.agent(nothing)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="agent a: concurrency must be a whole number, got '2'"):
        app.agent(name="a", concurrency="2")(nothing)  # type: ignore[call-overload]
    assert app.agent(concurrency=0)(nothing).concurrency == 1
    assert app.actor.__func__ is app.agent.__func__  # type: ignore[attr-defined]


async def on_error(_agent: Any, _exc: BaseException) -> None:
    """Be told."""


def test_info_and_clone_keep_everything() -> None:
    """agents.md 1: info and clone keep header mode, schema, types and handlers; a clone is not registered."""
    app = faust.App("t")
    target = app.topic("target")
    agent = app.agent(
        "orders",
        name="a",
        concurrency=3,
        sink=[target],
        on_error=on_error,
        help="Words.",
        key_type=str,
        value_type=int,
        use_reply_headers=True,
        partitions=5,
    )(nothing)
    info = agent.info()
    assert info["use_reply_headers"] is True
    assert (info["key_type"], info["value_type"], info["partitions"]) == (str, int, 5)
    assert info["sink"] == [target]
    clone = agent.clone()
    assert clone is not agent
    assert clone.info() == info
    assert app.agents["a"] is agent
    assert agent.help == "Words."
    moved = agent.clone(channel=app.topic("other"), concurrency=1)
    assert moved.get_topic_names() == ["other"]
    assert (moved.concurrency, moved.use_reply_headers) == (1, True)

    class Special(faust.Agent[Any, Any]):
        """An agent of one's own."""

    assert type(agent.clone(cls=Special)) is Special
    assert app.agent(name="doc")(nothing).help == "Read everything, and do nothing."


def test_the_class_is_a_setting() -> None:
    """agents.md 1: setting Agent names the class of agents; made by hand it asks in envelopes."""

    class Special(faust.Agent[Any, Any]):
        """An agent of one's own."""

    app = faust.App("t", Agent=Special)
    assert type(app.agent()(nothing)) is Special
    assert Special(nothing, app=app).use_reply_headers is None


class Collector:
    """Agents may be methods, callable objects, and classes."""

    def __init__(self) -> None:
        self.got: list[Any] = []

    async def method(self, stream: Any) -> None:
        async for value in stream:
            self.got.append(value)

    async def __call__(self, stream: Any) -> None:
        await self.method(stream)


class Doubling:
    """Called with a stream it gives something that can be iterated."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    async def __aiter__(self) -> AsyncIterator[int]:
        async for value in self.stream:
            yield value * 2


async def test_methods_objects_and_classes(memory_url: str, topic_name: Name) -> None:
    """agents.md 1: the kind of an agent is that of what the call returns, whatever is called."""
    app = make_app(memory_url, topic_name("app"))
    first, second = Collector(), Collector()
    method = app.agent()(first.method)
    instance = app.agent()(second)
    cls = app.agent()(Doubling)
    assert method.name.endswith(".method")
    assert instance.name.endswith(".Collector")
    assert cls.name.endswith(".Doubling")
    async with running(app):
        await method.cast(1)
        await instance.cast(2)
        assert await cls.ask(4) == 8
        await eventually(lambda: (first.got, second.got) == ([1], [2]))


async def test_several_topics_and_patterns(broker_url: str, topic_name: Name) -> None:
    """agents.md 1: an agent reads all topics of its names, or all that match its pattern."""
    app = make_app(broker_url, topic_name("app"))
    prefix = topic_name("t")
    several = app.topic(f"{prefix}-a", f"{prefix}-b", value_type=int)
    pattern = app.topic(pattern=f"{prefix}-[ab]", value_type=int)
    got: list[tuple[str, int]] = []

    @app.agent(several, name="several")
    async def read_names(stream: Any) -> None:
        async for value in stream:
            got.append(("names", value))

    @app.agent(pattern, name="pattern")
    async def read_pattern(stream: Any) -> None:
        async for value in stream:
            got.append(("pattern", value))

    producer = make_app(broker_url, topic_name("producer"))
    for name in ("a", "b"):
        topic = producer.topic(f"{prefix}-{name}", value_type=int, partitions=1)
        await topic.declare()
        await (await topic.send(value=ord(name)))
    await producer.close_clients()
    with pytest.raises(ValueError, match="names"):
        await read_names.send(value=1)
    async with running(app):
        await eventually(lambda: len(got) == 4)
    assert sorted(got) == [
        (agent, ord(name)) for agent in ("names", "pattern") for name in ("a", "b")
    ]


async def test_an_agent_reads_a_channel(memory_url: str, topic_name: Name) -> None:
    """agents.md 1: an agent over a channel gets what is put there; cast and sinks work the same."""
    app = make_app(memory_url, topic_name("app"))
    heard: list[int] = []

    @app.agent(app.channel(value_type=int), sink=[heard.append], name="local")
    async def local(stream: Any) -> AsyncIterator[int]:
        async for value in stream:
            yield value + 1

    async with running(app):
        await local.cast(1)
        await local.channel.send(value=2)
        await eventually(lambda: heard == [2, 3])
        assert await local.ask(10) == 11


async def test_calling_an_agent(memory_url: str, topic_name: Name) -> None:
    """agents.md 1: agent(stream=...) is an actor over that stream, which another agent can iterate."""
    app = make_app(memory_url, topic_name("app"))
    got: list[int] = []

    @app.agent(name="add_one")
    async def add_one(stream: Any) -> AsyncIterator[int]:
        async for value in stream:
            yield value + 1

    @app.agent(name="outer")
    async def outer(stream: Any) -> None:
        async for value in add_one(stream=stream):
            got.append(value)

    async with running(app):
        for value in range(3):
            await outer.send(value=value, partition=0)
        await eventually(lambda: got == [1, 2, 3])
        await committed_everything(app)
    actor = add_one(stream=app.stream([1]), index=4)
    assert (actor.agent, actor.index, actor.actor_task) == (add_one, 4, None)


async def test_who_is_running(memory_url: str, topic_name: Name) -> None:
    """agents.md 1: current_agent is the agent whose actor runs, and None elsewhere."""
    app = make_app(memory_url, topic_name("app"))
    seen: list[Any] = []

    @app.agent(name="me")
    async def me(stream: Any) -> None:
        async for _ in stream:
            seen.append(current_agent())

    assert current_agent() is None
    async with running(app):
        await me.cast(1)
        await eventually(lambda: seen == [me])
        (text,) = me.actor_tracebacks()
        assert "test_definition.py" in text
        assert "me 1 of 1" in app.agents.human_tracebacks()
        assert app.agents.actor_tracebacks() == {"me": [text]}
        assert repr(me) == "<Agent: running me>"
    assert current_agent() is None
