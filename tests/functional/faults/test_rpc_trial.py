"""Acceptance 3 of issue 5 in small; `rpc` is the command in full size."""

from __future__ import annotations

import pytest

from tests.functional.faults.rpc import RpcReport, play


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    "broker_url", ["local", pytest.param("kafka", marks=pytest.mark.kafka)], indirect=True
)
def test_every_promise_ends(broker_url: str) -> None:
    """Issue 5, acceptance 3: who answers and who asks is killed and restarted; no promise hangs, none is left."""
    report = play(broker_url, count=2000, rounds=1)
    assert not report.problems, str(report)
    assert report.last["promises"] == 0


def test_a_broken_promise_is_seen() -> None:
    """The trial can fail: wrong, missing and unexplained ends are problems."""
    for found in ({"right": 9}, {"right": 9, "wrong": 1}, {"right": 9, "ReplyLost": 1}):
        report = RpcReport()
        report.expect("told", found, right=10)
        assert report.problems
    report = RpcReport()
    report.expect("told", {"right": 9, "ReplyLost": 1}, right=10, lost=True)
    assert not report.problems
