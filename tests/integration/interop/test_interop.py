"""Acceptance 4 of issue 5: faust-streaming 0.15.3, in processes of its own, talks with us over the real Kafka.

The reference is a black box in a virtualenv of its own (``make .venv-ref/.ready``); both sides run ``program.py``.
"""

from __future__ import annotations

import json
import os
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from faust.transport.base import TopicSpec
from tests.support.driving import open_transport
from tests.support.kafka import KafkaCluster
from tests.support.processes import PythonProcess, start_python

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = Path(__file__).with_name("program.py")
OURS, REFERENCE = "ours", "reference"


def python_of(side: str) -> Path:
    """Return the interpreter of a side; without the reference there is nothing to test."""
    if side == OURS:
        return Path(sys.executable)
    python = Path(os.environ.get("BENCH_REFERENCE_PYTHON", ROOT / ".venv-ref" / "bin" / "python"))
    if not python.exists():
        message = f"{python} is not there: run `make .venv-ref/.ready`"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return python


@contextmanager
def playing(side: str, part: str, broker: str, id: str, mode: str) -> Iterator[PythonProcess]:
    """Run one part of the program on one side."""
    with start_python(PROGRAM, part, broker, id, mode, python=python_of(side)) as process:
        yield process


def last_line(process: PythonProcess, timeout: float = 90.0) -> Any:
    """Wait for the line of JSON that ends a part; whatever else is printed is passed over."""
    while True:
        line = process.read_line(timeout)
        if line.startswith(("[", '"', "{")):
            return json.loads(line)


def wait_ready(process: PythonProcess) -> None:
    """Wait until a worker runs."""
    while process.read_line(90.0) != "ready":
        pass


async def make_reply_topic(url: str, id: str) -> None:
    """Make the topic of a client's answers before there are any.

    faust-streaming never hears an answer that has itself created its topic: the broker then gives it several
    partitions, of which it reads one. Who is faster, the client or the answer, is not for a test to bet on.
    """
    admin = open_transport(url).admin(client_id="test")
    await admin.start()
    await admin.create_topics([TopicSpec(name=f"{id}-client-replies", partitions=1)])
    await admin.close()


@pytest.mark.parametrize("mode", ["headers", "envelope"])
@pytest.mark.parametrize(
    ("asker", "answerer"),
    [(REFERENCE, OURS), (OURS, REFERENCE), (OURS, OURS)],
    ids=["reference-asks-us", "we-ask-reference", "we-ask-us"],
)
async def test_asking_across(
    kafka_cluster: KafkaCluster, asker: str, answerer: str, mode: str
) -> None:
    """agents.md 5.2 and 5.3: either side asks, either answers, in both modes; models arrive as models."""
    id = f"interop-{uuid.uuid4().hex[:8]}"
    url = kafka_cluster.url
    if asker == REFERENCE:
        await make_reply_topic(url, id)
    with playing(answerer, "worker", url, id, mode) as worker:
        wait_ready(worker)
        with playing(asker, "client", url, id, mode) as client:
            shown = last_line(client)
    assert shown == [
        *(2 * number for number in range(5)),
        ["Order", "a", 8],
        "abab",
        [1, {"x": None}, 1, {"x": None}],
        [2 * number for number in range(20)],
        [2 * number for number in range(10)],
    ]


@pytest.mark.parametrize(
    ("writes", "reads"),
    [(REFERENCE, OURS), (OURS, REFERENCE)],
    ids=["reference-writes", "we-write"],
)
def test_topics_across(kafka_cluster: KafkaCluster, writes: str, reads: str) -> None:
    """Issue 5: what one side writes the other reads: keys, values, models, headers, timestamps, partitions."""
    id = f"interop-{uuid.uuid4().hex[:8]}"
    url = kafka_cluster.url
    with playing(writes, "writer", url, id, "headers") as writer:
        assert last_line(writer) == "written"
    with playing(reads, "reader", url, id, "headers") as reader:
        shown = last_line(reader)
    assert shown == [
        {
            "key": "text",
            "value": {"a": 1, "b": [1.5, None, "é"]},
            "headers": {"h1": b"one".hex(), "h2": "00ff"},
            "timestamp": 1700000000.5,
            "partition": 1,
            "offset": 0,
        },
        {
            "key": "model",
            "value": ["Order", "x", 3],
            "headers": {},
            "timestamp": 1700000001.25,
            "partition": 1,
            "offset": 1,
        },
        {
            "key": None,
            "value": "just text",
            "headers": {"only": ""},
            "timestamp": 1700000002.0,
            "partition": 1,
            "offset": 2,
        },
        {
            "key": "number",
            "value": 12345678901234,
            "headers": {},
            "timestamp": 1700000003.0,
            "partition": 1,
            "offset": 3,
        },
    ]
