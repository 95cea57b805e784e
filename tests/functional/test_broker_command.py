"""``faust broker``: looking at a broker and tidying it up, without an app."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import faust
from faust import cli
from faust.drivers import transports
from faust.messages import TP
from faust.transport.base import ConsumerOptions, ProducerOptions, TopicSpec, Transport


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A broker in a directory of its own."""
    return f"local://{tmp_path / 'broker'}"


def transport(url: str) -> Transport:
    """Make a transport as an app would."""
    conf = faust.Settings("x", broker=url, env={})
    made: Transport = transports.by_url(url)(conf.broker)
    return made


async def fill(url: str, topic: str, records: Sequence[tuple[bytes | None, bytes | None]]) -> None:
    """Create a topic with two partitions and write records to the first one."""
    door = transport(url)
    admin = door.admin()
    await admin.start()
    await admin.create_topics([TopicSpec(name=topic, partitions=2)])
    await admin.close()
    producer = door.producer(ProducerOptions())
    await producer.start()
    for key, value in records:
        producer.append(topic, 0, key, value, timestamp=1500, headers=[("h", b"\xff")])
    await producer.flush()
    await producer.close()


class Alone:
    """The only member of a group: takes all partitions."""

    name = "alone"
    version = 1

    def subscription_user_data(self, topics: frozenset[str]) -> bytes:
        return b""

    def assign(self, members: Any, partitions: Any) -> Any:
        from faust.transport.base import MemberAssignment

        (member,) = members
        everything = {topic: list(range(count)) for topic, count in partitions.items()}
        return {member: MemberAssignment(everything, b"")}

    def on_assignment(self, assignment: Any, generation: int) -> None: ...


class Listener:
    """Waits for the assignment."""

    def __init__(self) -> None:
        self.assigned = asyncio.Event()

    async def on_partitions_revoked(self, revoked: frozenset[TP], lost: bool) -> None: ...

    async def on_partitions_assigned(self, assigned: frozenset[TP], generation: int) -> None:
        self.assigned.set()


async def commit(url: str, group: str, offsets: dict[TP, int]) -> None:
    """Join a group, commit, leave."""
    consumer = transport(url).consumer(ConsumerOptions(group_id=group))
    await consumer.start()
    listener = Listener()
    await consumer.subscribe({tp.topic for tp in offsets}, listener=listener, assignor=Alone())
    async with asyncio.timeout(30):
        await listener.assigned.wait()
    assert await consumer.commit(offsets) == dict.fromkeys(offsets)
    await consumer.close()


def run(url: str, *args: str, **options: Any) -> tuple[int, str, str]:
    """Run ``faust broker --broker URL ...``."""
    status, out, err = cli.call_command("broker", ["--broker", url, *args], **options)
    return status, out.getvalue(), err.getvalue()  # type: ignore[attr-defined]


def test_topics_one_line_per_partition(url: str) -> None:
    """Every partition is a line with first offset, next offset and number of records."""
    asyncio.run(fill(url, "words", [(None, b"a"), (None, b"b")]))
    status, out, _ = run(url, "topics")
    assert status == 0
    assert out.splitlines() == [
        "+Topics-+-----------+-------+-----+---------+",
        "| topic | partition | start | end | records |",
        "+-------+-----------+-------+-----+---------+",
        "| words | 0         | 0     | 2   | 2       |",
        "| words | 1         | 0     | 0   | 0       |",
        "+-------+-----------+-------+-----+---------+",
    ]
    status, _, err = run(url, "topics", "wrods")
    assert (status, err) == (1, "Error: there is no topic 'wrods'\n")


def test_groups_have_lag(url: str) -> None:
    """Every partition of the topics is a line with offset, end and lag; bare, all is shown."""
    asyncio.run(fill(url, "words", [(None, b"a"), (None, b"b"), (None, b"c")]))
    asyncio.run(commit(url, "counters", {TP("words", 0): 1}))
    status, out, _ = run(url, "groups", json=True)
    assert status == 0
    first, second = json.loads(out)
    assert first == {
        "group": "counters",
        "state": "Empty",
        "members": 0,
        "topic": "words",
        "partition": 0,
        "committed": 1,
        "end": 3,
        "lag": 2,
    }
    assert (second["partition"], second["committed"], second["end"], second["lag"]) == (
        1,
        "-",
        0,
        0,
    )
    status, out, _ = run(url)
    assert status == 0
    assert "+Topics" in out
    assert "+Groups" in out


def test_dump_is_json_lines(url: str) -> None:
    """Records are printed whole, text as text and other bytes in base64."""
    asyncio.run(fill(url, "words", [(b"k", "grüß".encode()), (None, None), (b"\xff", b"x")]))
    status, out, _ = run(url, "dump", "words")
    assert status == 0
    first, second, third = map(json.loads, out.splitlines())
    assert first == {
        "topic": "words",
        "partition": 0,
        "offset": 0,
        "timestamp": 1.5,
        "key": "k",
        "value": "grüß",
        "headers": [["h", {"base64": "/w=="}]],
    }
    assert (second["key"], second["value"]) == (None, None)
    assert third["key"] == {"base64": "/w=="}
    assert len(run(url, "dump", "words", "--limit", "2")[1].splitlines()) == 2
    assert run(url, "dump", "words", "--partition", "1")[:2] == (0, "")
    assert "no partition 7" in run(url, "dump", "words", "--partition", "7")[2]


def test_delete_asks(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is deleted without a yes, or when one of the topics is not there."""
    asyncio.run(fill(url, "words", []))
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda _prompt: "n")
    status, _, err = run(url, "delete", "words")
    assert (status, err) == (1, "Aborted!\n")
    status, _, err = run(url, "delete", "--yes", "words", "wrods")
    assert (status, err) == (1, "Error: there is no topic 'wrods'\n")
    assert "words" in run(url, "topics")[1]
    assert run(url, "delete", "--yes", "words")[:2] == (0, "Deleted topic words\n")
    assert "words" not in run(url, "topics")[1]


def test_compact_keeps_the_last_of_every_key(url: str) -> None:
    """After compaction only the last record of each key is left, at its offset."""
    asyncio.run(fill(url, "words", [(b"a", b"1"), (b"b", b"2"), (b"a", b"3")]))
    assert run(url, "compact", "words")[:2] == (0, "Compacted topic words\n")
    left = [json.loads(line) for line in run(url, "dump", "words")[1].splitlines()]
    assert [(r["key"], r["value"], r["offset"]) for r in left] == [("b", "2", 1), ("a", "3", 2)]


def test_the_broker_must_be_named(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Without --broker, -A and BROKER_URL there is a sentence; the variable alone suffices."""
    asyncio.run(fill(url, "t", []))
    monkeypatch.delenv("BROKER_URL", raising=False)
    status, _, err = cli.call_command("broker", ["topics"])
    assert status == 2
    assert "Name the broker" in err.getvalue()  # type: ignore[attr-defined]
    monkeypatch.setenv("BROKER_URL", url)
    assert cli.call_command("broker", ["topics"])[0] == 0


def test_wrong_addresses_are_sentences() -> None:
    """An unknown scheme names the known ones; local:// alone needs an app or a directory."""
    status, _, err = run("kafak://x", "topics")
    assert status == 1
    assert "known are" in err
    assert "did you mean kafka://?" in err
    status, _, err = run("local://", "topics")
    assert status == 2
    assert "name the app with -A, or the directory" in err


@pytest.mark.parametrize(
    "args", [(), ("topics",), ("groups",), ("dump", "t"), ("delete", "-y", "t")]
)
def test_looking_makes_no_broker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...]
) -> None:
    """A directory that is not there is a misspelt address, and is not made."""
    nowhere = tmp_path / "nowhere"
    status, _, err = run(f"local://{nowhere}", *args)
    assert (status, f"There is no broker in {nowhere}: no such directory" in err) == (2, True)
    monkeypatch.setenv("BROKER_URL", f"local://{nowhere}")
    assert cli.call_command("broker", args)[0] == 2
    assert not nowhere.exists()


def test_the_broker_of_an_app(tmp_path: Path) -> None:
    """With -A the app's broker and data directory are used."""
    app = faust.App("shop", broker="local://", datadir=tmp_path, env={})
    status, out, _ = cli.call_command("broker", ["topics"], app=app)
    assert status == 0
    assert "+Topics" in out.getvalue()  # type: ignore[attr-defined]
