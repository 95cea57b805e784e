"""What type checkers are told about options is what the classes take."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from faust import Agent, Table, Topic
from faust.agents.agent import AgentOptions
from faust.tables.base import Collection, TableOptions
from faust.topics import TopicOptions

TYPES = {"key_type", "value_type"}
BY_THE_APP = {"self", "app", "args"}


def keywords(function: Any) -> set[str]:
    """Names of the parameters of a constructor."""
    return {
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD
    }


@pytest.mark.parametrize(
    ("cls", "options", "others"),
    [
        # what clones are made of is not for users
        (Topic, TopicOptions, {"topics", "is_iterator", "root", "active_partitions"}),
        (Agent, AgentOptions, {"fun", "channel"}),
        (Collection, TableOptions, {"name", "default"}),
    ],
    ids=["topic", "agent", "table"],
)
def test_options_are_those_of_the_constructor(cls: Any, options: Any, others: set[str]) -> None:
    """app.topic, app.agent and app.Table announce every keyword of the class, and no other."""
    announced = set(options.__annotations__)
    own = announced if cls is not Agent else announced - set(TopicOptions.__annotations__)
    wanted = keywords(cls.__init__) - TYPES - BY_THE_APP - others
    assert own | (wanted & announced) == wanted
    assert not announced & TYPES


def test_table_passes_its_options_on() -> None:
    """Table itself takes whatever Collection takes."""
    assert keywords(Table.__init__) <= {"self", "args", "options"}
