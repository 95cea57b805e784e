"""app.md 9, service-framework.md 4: the nine signals."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any, cast

import mode
import pytest

import faust
from tests.support.apps import eventually, make_app, running

Name = Callable[..., str]

NAMES = [
    "on_before_configured",
    "on_configured",
    "on_after_configured",
    "on_worker_init",
    "on_partitions_revoked",
    "on_partitions_assigned",
    "on_rebalance_complete",
    "on_before_shutdown",
    "on_produce_message",
]


async def test_all_nine_are_sent(memory_url: str, topic_name: Name) -> None:
    """app.md 9: each signal is sent with the app first, at its moment; handlers of app and class both hear it."""
    id, source = topic_name("app"), topic_name("in")
    app = make_app(memory_url, id)
    heard: list[tuple[str, Any]] = []
    everybodys: list[str] = []

    def listen(name: str) -> Any:
        async def on_async(sender: Any, *args: Any, **kwargs: Any) -> None:
            assert sender is app
            assert kwargs.pop("signal").name == name
            heard.append((name, args or kwargs))

        def on_sync(sender: Any, *args: Any, **kwargs: Any) -> None:
            assert sender is app
            assert kwargs.pop("signal").name == name
            heard.append((name, args or kwargs))

        waits = name.startswith(("on_partitions", "on_rebalance", "on_before_shutdown"))
        return on_async if waits else on_sync

    def everybody(sender: Any, *args: Any, signal: Any, **kwargs: Any) -> None:
        if sender is app:
            everybodys.append(signal.name)

    for name in NAMES:
        getattr(app, name).connect(listen(name))
        getattr(faust.App, name).connect(everybody)
    try:
        topic = app.topic(source, value_type=int, partitions=2, internal=True)

        @app.agent(topic)
        async def reader(stream: Any) -> None:
            async for _ in stream:
                pass

        app.worker_init_post_autodiscover()
        async with running(app):
            await topic.send(value=1, partition=0, key=b"k", headers={"a": b"b"})
            await app.producer.flush()
            other = make_app(memory_url, id)
            other.agent(other.topic(source, value_type=int), name="other")(cast("Any", reader.fun))
            async with running(other):
                await eventually(lambda: "on_partitions_revoked" in dict(heard))
    finally:
        for name in NAMES:
            getattr(faust.App, name).disconnect(everybody)
    names = [name for name, _ in heard]
    assert set(names) == set(NAMES)
    assert set(everybodys) == set(NAMES)
    assert names[:3] == ["on_before_configured", "on_configured", "on_after_configured"]
    assert names[-1] == "on_before_shutdown"
    by_name = dict(reversed(heard))
    assert by_name["on_configured"][0].id == id
    assert faust.TP(source, 0) in by_name["on_partitions_assigned"][0]
    sent = by_name["on_produce_message"]
    assert (sent["key"], sent["value"], sent["headers"]) == (b"k", b"1", [("a", b"b")])


async def test_handlers_of_one_app_hear_that_app_only() -> None:
    """app.md 9: connecting on an app filters on it; twice is once; disconnecting ends it; a stranger is no error."""
    one, other = faust.App("one"), faust.App("other")
    heard: list[str] = []

    def handler(sender: Any, **kwargs: Any) -> None:
        heard.append(sender.conf.id)

    assert one.on_worker_init.connect(handler) is handler
    one.on_worker_init.connect(handler)
    one.on_worker_init.send()
    other.on_worker_init.send()
    assert heard == ["one"]
    one.on_worker_init.disconnect(handler)
    one.on_worker_init.disconnect(handler)
    one.on_worker_init.send()
    assert heard == ["one"]

    @faust.App.on_worker_init.connect(sender=other)
    def of_other(sender: Any, **kwargs: Any) -> None:
        heard.append(f"of {sender.conf.id}")

    one.on_worker_init.send()
    other.on_worker_init.send()
    faust.App.on_worker_init.disconnect(of_other, sender=other)
    other.on_worker_init.send()
    assert heard == ["one", "of other"]


async def test_a_signal_without_sender() -> None:
    """service-framework.md 4 and 9: the signal of the class needs a sender."""
    with pytest.raises(TypeError):
        faust.App.on_worker_init.send()
    with pytest.raises(TypeError):
        await faust.App.on_before_shutdown.send()


async def test_what_handlers_raise_and_miss() -> None:
    """app.md 9: exceptions reach the sender; a handler that takes no keywords is a TypeError about signal."""
    app = faust.App("t")

    @app.on_before_shutdown.connect
    async def fails(app: faust.App, **kwargs: Any) -> None:
        raise LookupError("handler")

    with pytest.raises(LookupError):
        await app.on_before_shutdown.send()
    app.on_before_shutdown.disconnect(fails)

    @app.on_before_shutdown.connect()
    def plain(app: faust.App) -> None:
        pass

    with pytest.raises(TypeError, match="signal"):
        await app.on_before_shutdown.send()


async def test_weak_handlers_and_dead_apps() -> None:
    """app.md 9: weak handlers go when nobody else holds them; an app takes its handlers with it."""
    app = faust.App("t")
    heard: list[str] = []

    def make() -> Any:
        def handler(sender: Any, **kwargs: Any) -> None:
            heard.append("weak")

        return handler

    handler = make()
    app.on_worker_init.connect(handler, weak=True)
    app.on_worker_init.send()
    del handler
    gc.collect()
    app.on_worker_init.send()
    assert heard == ["weak"]
    before = len(faust.App.on_worker_init._filter_receivers)
    for number in range(50):
        short = faust.App(f"short{number}")
        short.on_worker_init.connect(make())
        short.on_worker_init.send()
    assert len(faust.App.on_worker_init._filter_receivers) == before


class Sender:
    """Somebody who sends."""


def test_the_signal_of_one_sender() -> None:
    """service-framework.md 4: with_default_sender shares receivers, sends for its sender, and hears only that one."""
    everybody = mode.SyncSignal[object]()
    sender, other = Sender(), Sender()
    bound = everybody.with_default_sender(sender)
    heard: list[tuple[Any, ...]] = []

    def of_all(who: Any, /, *args: Any, signal: Any, **_: Any) -> None:
        assert signal is not None
        heard.append(("all", who, *args))

    def of_one(who: Any, /, *args: Any, signal: Any, **_: Any) -> None:
        assert signal is bound
        heard.append(("one", who, *args))

    everybody.connect(of_all)
    bound.connect(of_one)
    bound.send(1)
    assert sorted(heard, key=lambda each: each[0]) == [("all", sender, 1), ("one", sender, 1)]
    heard.clear()
    everybody.send(other, 2)
    assert heard == [("all", other, 2)]
