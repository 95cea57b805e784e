"""``import faust`` stays light: heavy libraries are loaded by what needs them."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = (
    "aiokafka",
    "aiohttp",
    "rocksdict",
    "confluent_kafka",
    "sqlite3",
    "uvloop",
    "rich",
    "click",
)


def loaded_by(statement: str) -> set[str]:
    """Run *statement* in a fresh interpreter; return the top names of all modules loaded then."""
    program = f"{statement}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60
    )
    return {name.partition(".")[0] for name in json.loads(done.stdout)}


@pytest.mark.parametrize(
    "statement", ["import faust", "import faust.types", "import faust.assignor"]
)
def test_import_is_light(statement: str) -> None:
    """Importing the package loads no client, server, storage or terminal library."""
    loaded = loaded_by(statement)
    assert "faust" in loaded
    assert loaded.isdisjoint(HEAVY)


def test_an_app_is_light_until_it_starts() -> None:
    """Making an app with an agent and a table for Kafka loads no client library yet."""
    loaded = loaded_by(
        "import faust\n"
        "app = faust.App('light', broker='kafka://localhost')\n"
        "topic = app.topic('lines', value_type=str)\n"
        "table = app.Table('counts', default=int)\n"
        "@app.agent(topic)\n"
        "async def count(lines):\n"
        "    async for line in lines:\n"
        "        table[line] += 1\n"
    )
    assert loaded.isdisjoint(HEAVY)


def test_the_check_itself_notices() -> None:
    """The helper sees what a driver loads, so the tests above can fail."""
    assert "aiokafka" in loaded_by("import aiokafka")
