"""ISO 8601 text to `datetime`, with the grammar that models accept."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

__all__ = ["parse_iso8601"]

_ISO = re.compile(
    r"(?P<year>\d{4})-(?P<month>\d{1,2})-(?P<day>\d{1,2})"
    r"(?:.(?P<hour>\d{1,2}):(?P<minute>\d{1,2})(?::(?P<second>\d{1,2})(?:\.(?P<fraction>\d+))?)?"
    r"\s*(?P<zone>Z|[+-]\d{2}(?::?\d{2})?)?)?",
    re.ASCII,
)


def parse_iso8601(text: str) -> datetime:
    """Parse ``YYYY-MM-DD``, then optionally any separator, ``HH:MM[:SS[.fraction]]`` and a zone.

    The zone is ``Z``, ``+HH``, ``+HHMM`` or ``+HH:MM``; without one the result is naive. Digits
    beyond microseconds are cut off, and text behind what matches is ignored.

    Raises:
        ValueError: *text* is no such date.
    """
    match = _ISO.match(text)
    if match is None:
        raise ValueError(f"{text!r} is not a date such as 2020-01-31 or 2020-01-31T23:59:59.5Z")
    part = match.groupdict()
    return datetime(
        int(part["year"]),
        int(part["month"]),
        int(part["day"]),
        int(part["hour"] or 0),
        int(part["minute"] or 0),
        int(part["second"] or 0),
        int((part["fraction"] or "0")[:6].ljust(6, "0")),
        tzinfo=_zone(part["zone"]),
    )


def _zone(text: str | None) -> timezone | None:
    if text is None:
        return None
    if text == "Z":
        return UTC
    offset = timedelta(hours=int(text[1:3]), minutes=int(text[3:].lstrip(":") or 0))
    return timezone(-offset if text[0] == "-" else offset)
