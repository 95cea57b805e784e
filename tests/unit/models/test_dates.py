"""ISO 8601 text: models.md section 4.4."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faust.models.dates import parse_iso8601


def at(*parts: int, zone: timezone | None = None) -> datetime:
    """Say a moment in few characters."""
    return datetime(*parts, tzinfo=zone)  # type: ignore[misc, arg-type]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2020-01-02", at(2020, 1, 2)),
        ("2020-1-2", at(2020, 1, 2)),
        ("2020-01-02T03:04", at(2020, 1, 2, 3, 4)),
        ("2020-01-02 03:04:05", at(2020, 1, 2, 3, 4, 5)),
        ("2020-01-02T03:04:05.1", at(2020, 1, 2, 3, 4, 5, 100000)),
        ("2020-01-02T03:04:05.000123", at(2020, 1, 2, 3, 4, 5, 123)),
        ("2020-01-02T03:04:05.123456789", at(2020, 1, 2, 3, 4, 5, 123456)),
        ("2020-01-02T03:04:05Z", at(2020, 1, 2, 3, 4, 5, zone=UTC)),
        ("2020-01-02T03:04Z", at(2020, 1, 2, 3, 4, zone=UTC)),
        ("2020-01-02T03:04:05+02", at(2020, 1, 2, 3, 4, 5, zone=timezone(timedelta(hours=2)))),
        ("2020-01-02T03:04:05+0230", at(2020, 1, 2, 3, 4, 5, zone=timezone(timedelta(hours=2.5)))),
        (
            "2020-01-02T03:04:05-02:30",
            at(2020, 1, 2, 3, 4, 5, zone=timezone(-timedelta(hours=2.5))),
        ),
        ("2020-01-02 and more", at(2020, 1, 2)),
    ],
)
def test_grammar(text: str, expected: datetime) -> None:
    """Dates are read as the grammar says; zones are kept, and missing ones not invented."""
    parsed = parse_iso8601(text)
    assert parsed == expected
    assert parsed.utcoffset() == expected.utcoffset()


@pytest.mark.parametrize(
    "text", ["", "2020", "2020-01", "yesterday", "2020-13-01", "2020-02-30", "2020-01-02T25:00"]
)
def test_what_is_no_date(text: str) -> None:
    """What is no date, or one that never was, is a ValueError."""
    with pytest.raises(ValueError, match=r"."):
        parse_iso8601(text)


@given(st.datetimes(timezones=st.none() | st.just(UTC)))
def test_round_trip(moment: datetime) -> None:
    """Whatever Python writes is read back."""
    assert parse_iso8601(moment.isoformat()) == moment
    assert parse_iso8601(moment.isoformat().replace("+00:00", "Z")) == moment
