"""Random requests to a worker (issue 7, acceptance 9): 2,000 in CI, 500 by hand; the command sends 50,000."""

from __future__ import annotations

import os

import pytest

from tests.fuzz.web import Report, fuzz, judge, request_of

REQUESTS = 2_000 if os.environ.get("CI") else 500


@pytest.mark.filterwarnings("ignore")
async def test_no_500_and_nothing_from_outside() -> None:
    """Issue 7, acceptance 9: whatever is asked, no 500, no file from beside the served ones, no header of the client's making."""
    report = await fuzz(range(REQUESTS), seed=3)
    assert not report.failures, "\n".join(report.failures[:20])
    assert report.statuses["200"] > REQUESTS / 20, "the requests are too wild to reach anything"
    assert report.statuses["400"] > REQUESTS / 20, "the requests are too tame"


def test_what_is_wrong_is_seen() -> None:
    """The judge can say no, and a request is the same whenever it is made."""
    assert request_of(7, 3) == request_of(7, 3) != request_of(8, 3)
    for answer in (
        b"HTTP/1.1 500 Internal Server Error\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nthe-secret-beside-the-files",
        b"HTTP/1.1 200 OK\r\nSet-Cookie: x=1\r\n\r\n",
        b"nonsense",
    ):
        report = Report()
        judge(1, b"GET / HTTP/1.1", answer, report)
        assert report.failures
