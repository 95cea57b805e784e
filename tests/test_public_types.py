"""Pyright knows the type of every public name (``--verifytypes``); part of the quick tests, so that it stays so."""

from __future__ import annotations

from typing import Any

import pytest

from tests.typing.checkers import public_symbols

UNTYPED_BASE = ("Type of metaclass unknown", "Type of base class unknown", "partially unknown")
"""What pyright says of classes derived from aiokafka's, which has no types; all are in its driver."""

ADVICE = """
Write the type down where the attribute is first set: `self.count: int = 0`, `logger: logging.Logger = ...`.
Pyright guesses it, but other checkers may guess differently, and users get what they guess.
"""


@pytest.mark.timeout(300)
def test_every_public_name_has_a_known_type() -> None:
    """Pyright --verifytypes knows the type of every public name, and of what those refer to."""
    unknown = [
        f"{symbol['name']}: {' '.join(found['message'].split())}"
        for symbol in public_symbols()
        for found in symbol["diagnostics"]
        if not symbol["isTypeKnown"] and not _derived_from_aiokafka(symbol["name"], found)
    ]
    # what is only partly unknown follows from the others
    unknown.sort(key=lambda line: "partially unknown" in line)
    assert not unknown, ADVICE + "\n".join(unknown)


def _derived_from_aiokafka(name: str, found: dict[str, Any]) -> bool:
    driver = name.startswith("faust.transport.drivers.aiokafka.")
    return driver and any(words in found["message"] for words in UNTYPED_BASE)
