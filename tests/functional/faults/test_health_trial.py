"""Acceptance 6 of issue 7 in small, without brokers that fail; `health` is the command in full size."""

from __future__ import annotations

from tests.functional.faults.health import HealthReport, play


async def test_faults_of_the_program_are_told() -> None:
    """Issue 7, acceptance 6: a hung agent and a deserializer that raises are told with the reason, and over after the cure."""
    report = await play(None, rounds=1)
    assert not report.problems, str(report)
    assert len(report.lines) == 2


def test_a_broken_promise_is_shown() -> None:
    """The trial can fail: problems are shown in place of the good word."""
    assert "every fault was told" in str(HealthReport())
    assert "every fault was told" not in str(HealthReport(problems=["x"]))
