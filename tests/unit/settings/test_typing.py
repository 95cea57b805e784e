"""What type checkers know: the ignores below are errors of mypy when they are not needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, assert_type

import pytest

from faust.exceptions import ImproperlyConfigured
from faust.settings import Settings, options_of


class AppOptions(Settings):
    """The settings, and a keyword that is none."""

    monitor: Any = None


class App:
    """Takes the settings as keywords, as `faust.App` does."""

    @options_of(AppOptions)
    def __init__(self, id: str, *, monitor: Any = None, **options: Any) -> None:
        self.conf = Settings(id, **options)
        self.monitor = monitor


def test_keywords_of_the_app_are_checked() -> None:
    """A misspelt keyword or a wrong type is found before the program runs, and when it runs."""
    assert App("shop", topic_partitions="3", monitor=1).conf.topic_partitions == 3
    with pytest.raises(ImproperlyConfigured):
        App("shop", brokr="kafka://")  # type: ignore[call-arg]
    with pytest.raises(ImproperlyConfigured):
        App("shop", broker_commit_interval=[])  # type: ignore[arg-type]


def test_attributes_have_the_type_that_is_read() -> None:
    """What may be written and what is read are two types."""
    conf = Settings("shop", broker_commit_interval="3", env={})
    with pytest.raises(TypeError):
        conf.broker_commit_interval = []  # type: ignore[assignment]
    assert_type(conf.broker_commit_interval, float)
    assert_type(conf.origin, str | None)
    assert_type(conf.datadir, Path)
    assert_type(conf.id, str)
