"""What is noted and told about Kafka nodes that do not answer."""

from __future__ import annotations

import logging

import pytest

from faust.transport.base import DriverState
from faust.transport.drivers.aiokafka.client import Watch


def test_a_partial_outage_ends_with_the_last_node_that_answers_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One node of two fails, answers, and fails again: the second time is told as a new outage, at once (transport.md 10)."""
    state = DriverState()
    watch = Watch(state, "consumer g")
    watch.answered(1)
    with caplog.at_level(logging.WARNING, logger="faust"):
        watch.failed(2, OSError("gone"), nodes=2)
        watch.failed(2, OSError("gone"), nodes=2)
        assert len(caplog.records) == 1
        assert state.connected
        watch.answered(2)
        assert not watch.down
        watch.failed(2, OSError("gone again"), nodes=2)
    assert len(caplog.records) == 2
    assert "for 0 s so far" in caplog.text.splitlines()[-1]
