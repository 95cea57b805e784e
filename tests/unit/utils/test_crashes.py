"""Who tells of a crash."""

from __future__ import annotations

import logging

import pytest
from mode import Service

from faust.exceptions import BrokerError, FaustError
from faust.utils.crashes import crash_because


class _Root(Service):
    tells_why = True


@pytest.mark.parametrize("root", [Service, _Root])
@pytest.mark.parametrize("reason", [BrokerError("no room"), ValueError("no room")])
async def test_a_sentence_is_told_by_who_ends_of_it(
    root: type[Service], reason: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """Our errors are logged here unless the root tells of them; faults of the program are, with a traceback."""
    whole = root()
    part, other = Service(beacon=whole.beacon), Service(beacon=whole.beacon)
    for service in (part, other):
        whole.add_dependency(service)
    ours = isinstance(reason, FaustError)
    with caplog.at_level(logging.ERROR):
        await crash_because("The part cannot go on", reason, part, explained=ours)
    assert whole.crash_reason is part.crash_reason is other.crash_reason is reason
    told = [record for record in caplog.records if "no room" in record.getMessage()]
    assert len(told) == (2 if not ours else 0 if root is _Root else 1)
    assert any(record.exc_info for record in told) is not ours
