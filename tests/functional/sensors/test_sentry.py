"""Sentry, with its real library (livecheck-sensors.md 5)."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import sentry_sdk
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport

import faust
import faust.testing
from faust.contrib import sentry
from faust.exceptions import ImproperlyConfigured

DSN = "https://key@sentry.invalid/1"


class Kept(Transport):
    """A transport that keeps what it is given."""

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        self.events: list[dict[str, Any]] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        event = envelope.get_event()
        if event is not None:
            self.events.append(dict(event))


@pytest.fixture
def transport() -> Iterator[Kept]:
    kept = Kept()
    yield kept
    sentry_sdk.init()


async def test_5_errors_of_agents_reach_sentry(transport: Kept) -> None:
    """livecheck-sensors.md 5: with a dsn the handler is in `loghandlers`, and what a worker logs with it is sent once."""
    app = faust.App("watched", broker="kafka://not-asked", topic_partitions=1)
    sentry.setup(app, dsn=DSN, transport=transport, default_integrations=False)
    (handler,) = app.conf.loghandlers
    assert handler.level == logging.WARNING
    topic = app.topic("work", value_type=int, internal=True)

    @app.agent(topic)
    async def divide(stream: Any) -> None:
        async for number in stream:
            assert 1 / number

    logging.getLogger().addHandler(handler)  # as a worker does
    try:
        async with faust.testing.run(app) as t:
            await t.send("work", 0)
            await t.idle()
    finally:
        logging.getLogger().removeHandler(handler)
    (event,) = transport.events
    assert event["level"] == "error"
    assert event["exception"]["values"][-1]["type"] == "ZeroDivisionError"
    assert "divide" in str(event["logentry"])


def test_5_options(transport: Kept) -> None:
    """livecheck-sensors.md 5: without a dsn nothing is done; level and length of the queue are passed on; workers warn."""
    app = faust.App("options", broker="memory://")
    sentry.setup(app)
    assert not app.conf.loghandlers
    sentry.setup(app, dsn=DSN, transport=transport, loglevel="error", max_queue_size=7)
    assert app.conf.loghandlers[0].level == logging.ERROR
    assert sentry_sdk.get_client().options["transport_queue_size"] == 7
    with pytest.raises(ValueError, match="'loud'"):
        sentry.setup(app, dsn=DSN, transport=transport, loglevel="loud")
    with pytest.warns(UserWarning, match="one thread"):
        sentry.setup(app, dsn=DSN, transport=transport, workers=9)


def test_5_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """livecheck-sensors.md 5: without sentry-sdk the error says what to install."""
    monkeypatch.setitem(sys.modules, "sentry_sdk", None)
    with pytest.raises(ImproperlyConfigured, match=r"faust\[sentry\]"):
        sentry.setup(faust.App("none", broker="memory://"), dsn=DSN)
