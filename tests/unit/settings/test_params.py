"""What each kind of setting accepts, gives, and says about what it refuses."""

from __future__ import annotations

import json
import logging
import ssl
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from faust.exceptions import ImproperlyConfigured
from faust.settings import InvalidSetting, Settings


def read(name: str, value: Any) -> Any:
    """Give one setting a value and read it back."""
    return getattr(Settings("shop", env={}, **{name: value}), name)


ACCEPTED: list[tuple[str, Any, Any]] = [
    ("debug", "TRUE", True),
    ("debug", "yes", True),
    ("debug", "On", True),
    ("debug", "1", True),
    ("debug", "false", False),
    ("debug", "NO", False),
    ("debug", "off", False),
    ("debug", "0", False),
    ("debug", "", False),
    ("debug", 2, True),
    ("debug", [], False),
    ("topic_partitions", "8", 8),
    ("topic_partitions", 3.7, 3),
    ("topic_partitions", 0, 0),
    ("producer_acks", "all", -1),
    ("producer_acks", "1", 1),
    ("web_port", 65535, 65535),
    ("broker_session_timeout", "2.5", 2.5),
    ("broker_session_timeout", "3/m", 0.05),
    ("broker_session_timeout", timedelta(minutes=2), 120.0),
    ("broker_session_timeout", -1, -1),
    ("store", "memory://", URL("memory://")),
    ("store", URL("rocksdb://"), URL("rocksdb://")),
    ("tabledir", "~/t", Path.home() / "t"),
    ("logging_config", '{"version": 1}', {"version": 1}),
    ("logging_config", [("version", 1)], {"version": 1}),
    ("agent_supervisor", "json:dumps", json.dumps),
    ("agent_supervisor", "json.dumps", json.dumps),
    ("agent_supervisor", json.loads, json.loads),
    ("worker_redirect_stdouts_level", "crit", "crit"),
    ("worker_redirect_stdouts_level", "30", 30),
    ("worker_redirect_stdouts_level", logging.INFO, logging.INFO),
    ("key_serializer", "json|binary", "json|binary"),
    ("consumer_auto_offset_reset", "latest", "latest"),
    ("producer_compression_type", "zstd", "zstd"),
    ("autodiscover", ["a", "b"], ["a", "b"]),
    ("autodiscover", list, list),
    ("autodiscover", True, True),
]


@pytest.mark.parametrize(("name", "value", "expected"), ACCEPTED)
def test_accepted(name: str, value: Any, expected: Any) -> None:
    """A value that the reference allows is read as the reference says."""
    result = read(name, value)
    assert result == expected
    assert type(result) is type(expected)


REFUSED: list[tuple[str, Any, type[Exception], str]] = [
    ("debug", "maybe", TypeError, "Cannot coerce 'maybe' to type bool"),
    ("topic_partitions", "many", ValueError, "whole number"),
    ("topic_partitions", [], TypeError, "whole number"),
    ("topic_partitions", -1, ImproperlyConfigured, "-1 of type UnsignedInt must be 0 or more"),
    ("version", 0, ImproperlyConfigured, "must be 1 or more"),
    ("web_port", 0, ImproperlyConfigured, "between 1 and 65535"),
    ("web_port", 65536, ImproperlyConfigured, "between 1 and 65535"),
    ("producer_acks", 2, ValueError, "choose one of -1, 0, 1"),
    ("producer_acks", "ALL", ValueError, "whole number"),
    ("broker_session_timeout", "soon", ValueError, "number of seconds"),
    ("broker_session_timeout", "3/x", KeyError, "unknown unit 'x', choose s, m, h or d"),
    ("broker_session_timeout", True, TypeError, "bool is not a time"),
    ("store", 5, TypeError, "URL"),
    ("broker", "", ValueError, "list of brokers is empty"),
    ("broker", [], ValueError, "list of brokers is empty"),
    ("broker", 5, TypeError, "int is not a list of brokers"),
    ("broker", [5], TypeError, "int in the list of brokers"),
    ("broker", "kafka://h:port", ValueError, "broker URL"),
    ("tabledir", 5, TypeError, "a path"),
    ("logging_config", "{", ValueError, "JSON"),
    ("logging_config", "[]", TypeError, "list, not an object"),
    ("logging_config", 5, TypeError, "mapping"),
    ("agent_supervisor", "no_such_module_x.y", ModuleNotFoundError, "no_such_module_x"),
    ("agent_supervisor", "json:nope", AttributeError, "nope"),
    ("agent_supervisor", 5, TypeError, "int cannot be called"),
    ("processing_guarantee", "twice", ValueError, "at_least_once, exactly_once"),
    ("broker_credentials", "user:pw", ImproperlyConfigured, "str is not a credentials object"),
    ("worker_redirect_stdouts_level", "loud", ValueError, "log level"),
    ("worker_redirect_stdouts_level", 1.5, TypeError, "log level"),
    ("loghandlers", ["x"], TypeError, "logging.Handler"),
    ("loghandlers", 5, TypeError, "logging.Handler"),
    ("key_serializer", 5, TypeError, "codec"),
    ("consumer_auto_offset_reset", "first", ValueError, "earliest, latest, none"),
    ("producer_compression_type", "rar", ValueError, "gzip, snappy, lz4, zstd"),
    ("autodiscover", "shop", TypeError, "write ['shop']"),
    ("autodiscover", 1.5, TypeError, "names no modules"),
]


@pytest.mark.parametrize(("name", "value", "error", "words"), REFUSED)
def test_refused(name: str, value: Any, error: type[Exception], words: str) -> None:
    """A wrong value raises the documented error, which says setting, source and what is wanted."""
    with pytest.raises(error) as caught:
        read(name, value)
    message = str(caught.value)
    assert isinstance(caught.value, InvalidSetting)
    assert words in message
    assert f"setting {name!r}" in message
    assert f"keyword argument {name}" in message
    assert (caught.value.setting, caught.value.source) == (name, f"keyword argument {name}")
    assert caught.value.expected in message


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a", ["kafka://a"]),
        ("a:9092;kafka://b:9092", ["kafka://a:9092", "kafka://b:9092"]),
        ("a;confluent://b", ["confluent://a", "confluent://b"]),
        ("local:///tmp/x", ["local:///tmp/x"]),
        ("kafka://a,b,c:1", ["kafka://a", "kafka://b", "kafka://c:1"]),
        (URL("memory://x"), ["memory://x"]),
        (["a:1", "b:2"], ["kafka://a:1", "kafka://b:2"]),
        (("x://a", "b:2"), ["x://a", "x://b:2"]),
        ([URL("x://a"), "b"], ["x://a", "x://b"]),
    ],
)
def test_broker_lists(value: Any, expected: list[str]) -> None:
    """Lists are split at ; and , and complete missing schemes with the first one that is there."""
    assert read("broker", value) == [URL(text) for text in expected]


def test_credentials_are_passed_on() -> None:
    """A TLS context is wrapped."""
    context = ssl.create_default_context()
    assert read("broker_credentials", context).context is context


@given(st.text().map(lambda text: "☃" + text.replace("\\", "x").replace("'", "x") + "☃"))
def test_errors_never_show_passwords(password: str) -> None:
    """Whatever the password of a broker URL is, an error about it does not repeat it."""
    with pytest.raises(InvalidSetting) as caught:
        read("broker_credentials", f"kafka://user:{password}@host:port")
    assert password not in str(caught.value)


@pytest.mark.parametrize("name", ["broker", "store", "canonical_url"])
def test_urls_that_cannot_be_parsed_are_shown_without_password(name: str) -> None:
    """The message shows the URL that is wrong, not the password in it."""
    with pytest.raises(InvalidSetting, match=r"user:\*\*\*@host:port") as caught:
        read(name, "kafka://user:s3cret@host:port")
    assert "s3cret" not in str(caught.value)


def test_errors_are_short() -> None:
    """A huge value is cut in the message."""
    with pytest.raises(ValueError, match="topic_partitions") as caught:
        read("topic_partitions", "x" * 100_000)
    assert len(str(caught.value)) < 100_700


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_seconds_are_the_same_as_number_text_and_timedelta(number: float) -> None:
    """Text of a number is that number."""
    assert read("stream_recovery_delay", repr(number)) == number
    assert read("stream_recovery_delay", number) == number


def test_defaults_of_classes_are_imported_when_read() -> None:
    """The settings can be made without the rooms above them."""
    import mode

    conf = Settings("shop", env={})
    assert conf.agent_supervisor is mode.OneForOneSupervisor


@pytest.mark.parametrize("make", [dict, str, object])
def test_factories_are_called_by_nobody(make: Callable[[], Any]) -> None:
    """A class given for an extension is stored, not called."""
    assert read("Worker", make) is make
