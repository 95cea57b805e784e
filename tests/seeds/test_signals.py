"""Shared seeds 002 and 004: the signals of an app, connected as shown."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, List, Optional, Set, Tuple

import pytest
from mode.utils.compat import want_bytes

import faust
from faust.types import TP, AppT
from tests.support.apps import eventually, make_app, running


async def test_headers_on_all_messages(app: faust.App) -> None:
    """``on_produce_message`` is told of every message, and may add to its headers."""
    seen: list[Any] = []
    topic = app.topic("traced", value_type=int, internal=True)

    class Test:
        def as_headers(self) -> dict[str, str]:
            return {"LiveCheck-Test-Id": "7"}

    def current_test() -> Optional[Test]:
        return Test()

    @app.on_produce_message.connect
    def on_produce_attach_trace_headers(
        sender: AppT,
        key: bytes = None,  # type: ignore[assignment]
        value: bytes = None,  # type: ignore[assignment]
        partition: Optional[int] = None,
        timestamp: Optional[float] = None,
        headers: List[Tuple[str, bytes]] = None,  # type: ignore[assignment]
        **kwargs: Any,
    ) -> None:
        test = current_test()
        if test is not None:
            # Headers at this point is a list of ``(key, value)`` pairs.
            # Note2: values in headers must be :class:`bytes`.
            headers.extend([(k, want_bytes(v)) for k, v in test.as_headers().items()])

    @app.agent(topic)
    async def read(stream: faust.Stream[int]) -> None:
        async for event in stream.events():
            seen.append(event.headers)

    async with running(app):
        await topic.send(value=1)
        await eventually(lambda: seen == [{"LiveCheck-Test-Id": b"7"}])


async def test_partitions_revoked_and_assigned(topic_name: Callable[..., str]) -> None:
    """Both signals come with a set of partitions; connected to the class they tell of all apps."""
    broker = f"memory://{topic_name('broker')}"
    name = topic_name("app")
    told: list[str] = []
    every: list[AppT] = []

    def declare(n: int) -> faust.App:
        app = make_app(broker, name, topic_partitions=2, datadir=None)

        @app.agent(app.topic(f"{name}-numbers", internal=True, partitions=2), name="read")
        async def read(stream: faust.Stream[Any]) -> None:
            async for _ in stream:
                pass

        return app

    app, other = declare(1), declare(2)

    @app.on_partitions_revoked.connect
    async def on_partitions_revoked(app: AppT, revoked: Set[TP], **kwargs: Any) -> None:
        told.append(f"Partitions are being revoked: {revoked}")

    @app.on_partitions_assigned.connect
    async def on_partitions_assigned(app: AppT, assigned: Set[TP], **kwargs: Any) -> None:
        told.append(f"Partitions are being assigned: {assigned}")

    @faust.App.on_partitions_revoked.connect
    async def on_any_revoked(app: AppT, revoked: Set[TP], **kwargs: Any) -> None:
        every.append(app)

    try:
        async with running(app):
            await eventually(lambda: any("assigned" in line for line in told))
            async with running(other):
                await eventually(lambda: any("revoked" in line for line in told))
                await eventually(lambda: app in every)
    finally:
        faust.App.on_partitions_revoked.disconnect(on_any_revoked)
    assert "TP(topic=" in "".join(told)


def test_configuring_in_a_handler(monkeypatch: pytest.MonkeyPatch) -> None:
    """``on_configured`` may set what the app will be; the other two come before and after it."""
    monkeypatch.setenv("FAUST_BROKER", "memory://")
    monkeypatch.setenv("STORE_URL", "rocksdb://")
    told: list[str] = []

    app = faust.App("myapp")

    @app.on_configured.connect
    def configure(app: AppT, conf: Any, **kwargs: Any) -> None:
        conf.broker = os.environ.get("FAUST_BROKER")
        conf.store = os.environ.get("STORE_URL")
        told.append("configured")

    @app.on_before_configured.connect
    def before_configuration(app: AppT, **kwargs: Any) -> None:
        told.append(f"App {app} is being configured")

    @app.on_after_configured.connect
    def after_configuration(app: AppT, **kwargs: Any) -> None:
        told.append(f"App {app} has been configured.")

    assert (app.conf.broker[0].scheme, app.conf.store.scheme) == ("memory", "rocksdb")
    before, between, after = told
    assert "is being configured" in before
    assert between == "configured"
    assert "has been configured." in after


def test_a_worker_is_initialized() -> None:
    """``on_worker_init`` comes when the command line, or ``app.main()``, prepares the app; once."""
    app = faust.App("worker-init", broker="memory://")
    told: list[str] = []

    @app.on_worker_init.connect
    def on_worker_init(app: AppT, **kwargs: Any) -> None:
        told.append(f"Working starting for app {app}")

    app.worker_init()
    app.worker_init_post_autodiscover()
    app.worker_init_post_autodiscover()
    assert len(told) == 1
