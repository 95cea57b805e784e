"""Arbitrary bytes into every decoder (issue 4, acceptance 2): 20,000 inputs in CI, 2,000 by hand."""

from __future__ import annotations

import os

import pytest

from tests.fuzz.decoders import decoders, fuzz, main

INPUTS = 20_000 if os.environ.get("CI") else 2_000


@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("ignore")
def test_only_documented_errors() -> None:
    """Whatever the bytes are: a value, or the error that the decoder documents."""
    report = fuzz(range(INPUTS), seed=2)
    assert not report.failures, "\n".join(report.failures[:20])
    assert report.outcomes["error"] > INPUTS
    assert report.outcomes["value"] > INPUTS / 5, "the inputs are too wild to reach anything"


def test_inputs_can_be_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    """One input alone, by its number, with many decoders: for whoever has a failure to look at."""
    assert main(["--only", "7", "--seed", "2"]) == 0
    assert "1 inputs" in capsys.readouterr().out


def test_every_kind_of_decoder_is_there() -> None:
    """Keys, values, tables and the members' messages are all tried."""
    names = " ".join(decoder.name for decoder in decoders())
    for kind in ("value: json", "key: raw", "table key", "subscription", "untyped", "gzip", "yaml"):
        assert kind in names
