"""Shared seed 003 names settings that no other document has: they mean those of today, or say what to do instead."""

from __future__ import annotations

from typing import Any, cast

import pytest

from faust.exceptions import ImproperlyConfigured
from faust.settings.settings import Settings


@pytest.mark.parametrize(
    ("written", "value", "name", "read"),
    [
        ("broker_heartbeat", 2.0, "broker_heartbeat_interval", 2.0),
        ("broker_commit_livelock_hard_timeout", 600.0, "health_exit_timeout", 600.0),
        ("consumer_connections_max_idle", 60.0, "consumer_connections_max_idle_ms", 60_000),
        ("consumer_heartbeat_interval", 2.0, "broker_heartbeat_interval", 2.0),
        ("consumer_max_poll_interval", 20.0, "broker_max_poll_interval", 20.0),
        ("consumer_max_poll_records", 20, "broker_max_poll_records", 20),
        ("consumer_rebalance_timeout", 20.0, "broker_rebalance_timeout", 20.0),
        ("consumer_request_timeout", 70.0, "broker_request_timeout", 70.0),
        ("consumer_session_timeout", 20.0, "broker_session_timeout", 20.0),
    ],
)
def test_second_names(written: str, value: Any, name: str, read: Any) -> None:
    """The name is taken for the setting that has its meaning, with a warning that names it."""
    with pytest.warns(FutureWarning, match=name):
        conf = Settings("shop", env={}, **{written: value})
    assert getattr(conf, name) == read
    with pytest.raises(ImproperlyConfigured, match=name):
        Settings("shop", env={}, **{name: read, written: value})


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("quiet", "--quiet"),
        ("no_color", "NO_COLOR"),
        ("broker_retry_delay", "not configurable"),
        ("broker_retry_max_delay", "not configurable"),
        ("broker_retry_backoff_type", "not configurable"),
    ],
)
def test_what_is_no_setting(name: str, words: str) -> None:
    """A name that means something else says what to do; its default in the document, None, is no harm."""
    with pytest.raises(ImproperlyConfigured, match=words):
        Settings("shop", env={}, **cast("Any", {name: 1}))
    Settings("shop", env={}, **{name: None})


@pytest.mark.parametrize("version", ["auto", "0.10", "0.11.0", "2.8"])
def test_versions_of_the_protocol(version: str) -> None:
    """settings.md 8: a version is ``auto`` or numbers; consumer and producer follow the broker's unless given."""
    conf = Settings("shop", env={}, broker_api_version=version, producer_api_version="1.0")
    assert (conf.consumer_api_version, conf.producer_api_version) == (version, "1.0")


@pytest.mark.parametrize("version", ["latest", "2.x", ""])
def test_what_is_no_version(version: str) -> None:
    """settings.md 8: anything else is an error that shows what is expected."""
    with pytest.raises(ImproperlyConfigured, match=r"'broker_api_version': expected 'auto' or"):
        Settings("shop", env={}, broker_api_version=version)
