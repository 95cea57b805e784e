"""What every test may ask for: a real Kafka, a broker of each kind, a topic name of its own."""

from __future__ import annotations

import itertools
import logging
import os
import re
import signal
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.kafka import KafkaCluster, ToolMissing

settings.register_profile("dev", max_examples=50, deadline=None)
settings.register_profile(
    "ci", max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("ci" if os.environ.get("CI") else "dev")

os.environ["APP_WEB_ENABLED"] = "no"
"""Apps of tests, and of the processes they start, open no port; tests of the web server give ``env={}``."""

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Started in the background of a script: the processes of tests would never hear Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)

BROKERS = [
    pytest.param("memory", id="memory"),
    pytest.param("local", id="local"),
    pytest.param("kafka", id="kafka", marks=pytest.mark.kafka),
]
"""Parameters for ``broker_url`` and everything built on it."""


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Put the loggers back: a worker that set up logging in one test must not silence the next."""
    before = {logger: _state(logger) for logger in _loggers()}
    disabled = logging.root.manager.disable
    yield
    logging.disable(disabled)
    for logger in _loggers():
        level, logger.propagate, logger.disabled, handlers = before.get(
            logger, (logging.NOTSET, True, False, [])
        )
        logger.setLevel(level)
        logger.handlers[:] = handlers


def _loggers() -> list[logging.Logger]:
    known = logging.root.manager.loggerDict.values()
    return [logging.root, *(each for each in known if isinstance(each, logging.Logger))]


def _state(logger: logging.Logger) -> tuple[int, bool, bool, list[logging.Handler]]:
    return logger.level, logger.propagate, logger.disabled, list(logger.handlers)


@pytest.fixture(scope="session")
def kafka_cluster() -> Iterator[KafkaCluster]:
    """One Kafka for the whole run, started for the first who asks; who stops it starts it again."""
    cluster = KafkaCluster()
    try:
        cluster.start()
    except ToolMissing as missing:
        if os.environ.get("CI"):
            pytest.fail(str(missing))
        pytest.skip(str(missing))
    yield cluster
    cluster.close()


@pytest.fixture(params=BROKERS)
def broker_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Address of a broker of each kind; the embedded ones are new and empty."""
    if request.param == "memory":
        return f"memory://{uuid.uuid4().hex}"
    if request.param == "local":
        return f"local://{tmp_path / 'broker'}"
    cluster: KafkaCluster = request.getfixturevalue("kafka_cluster")
    cluster.heal()
    return cluster.url


@pytest.fixture
def topic_name(request: pytest.FixtureRequest) -> Callable[..., str]:
    """Make topic names that nobody else uses: ``topic_name()``, ``topic_name("clicks")``."""
    test = re.sub(r"[^A-Za-z0-9]+", "-", request.node.name).strip("-").lower()[:60]
    unique = uuid.uuid4().hex[:8]
    counter = itertools.count(1)

    def name(suffix: str = "") -> str:
        return f"{test}-{unique}-{suffix or next(counter)}"

    return name
