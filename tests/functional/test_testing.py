"""`faust.testing`: a whole application inside a test (through its own front door, as users would)."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import faust
import faust.testing


class Order(faust.Record):
    """What is sold."""

    account: str
    amount: int


app = faust.App("testing-face", broker="kafka://not-asked", topic_partitions=4)
orders = app.topic("orders", key_type=str, value_type=Order, internal=True)
big = app.topic("big", key_type=str, value_type=Order, internal=True)
totals = app.Table("totals", default=int)
counts = app.Table("counts", default=int)


@app.agent(orders)
async def add(stream: Any) -> None:
    """Sum up per account; pass on what is big; count by size."""
    async for order in stream.group_by(Order.account):
        totals[order.account] += order.amount
        if order.amount >= 100:
            await big.send(key=order.account, value=order)


@app.agent(big)
async def count(stream: Any) -> None:
    """Count big orders."""
    async for order in stream:
        counts[order.account] += 1


async def test_idle_means_that_everything_caused_is_there() -> None:
    """After `idle` every message has been processed, what agents sent has arrived, tables are complete."""
    async with faust.testing.run(app) as t:
        for amount in range(1, 121):
            await t.send("orders", Order(account=f"a{amount % 3}", amount=amount), key=str(amount))
        await t.idle()
        assert dict(t.tables["totals"].items()) == {"a0": 2460, "a1": 2380, "a2": 2420}
        assert sorted(event.value.amount for event in t.messages(big)) == list(range(100, 121))
        assert {event.key for event in t.messages("big")} == {"a0", "a1", "a2"}
        assert sum(t.tables["counts"].values()) == 21


async def test_every_run_starts_empty() -> None:
    """The same application can be run again, in another event loop; nothing is left of the last run."""
    async with faust.testing.run(app) as t:
        await t.idle()
        assert dict(t.tables["totals"].items()) == {}
        assert t.messages("orders") == []


async def test_a_restart_recovers_the_tables() -> None:
    """After `restart` the tables are what they were, read back from their changelogs, and processing goes on."""
    async with faust.testing.run(app) as t:
        await t.send(orders, Order(account="a", amount=5))
        await t.idle()
        await t.restart()
        assert t.tables["totals"]["a"] == 5
        await t.send(orders, Order(account="a", amount=6))
        await t.idle()
        assert t.tables["totals"]["a"] == 11
        changelog = t.messages(totals.changelog_topic)
        assert [(event.key, event.value) for event in changelog] == [("a", 5), ("a", 11)]


def test_each_test_may_have_its_own_loop() -> None:
    """One application can be run under `asyncio.run` again and again."""

    async def once() -> int:
        async with faust.testing.run(app) as t:
            await t.send(orders, Order(account="a", amount=5))
            await t.idle()
            return int(t.tables["totals"]["a"])

    assert [asyncio.run(once()) for _ in range(3)] == [5, 5, 5]


async def test_a_crash_fails_the_test() -> None:
    """What crashes the worker comes out of `idle` or of the end of the block, with its own type."""
    bad = faust.App("testing-crash", broker="memory://")

    @bad.task
    async def explode() -> None:
        raise ZeroDivisionError("on purpose")

    with pytest.raises(ZeroDivisionError, match="on purpose"):
        async with faust.testing.run(bad) as t:
            await t.idle()


async def test_what_is_not_finished_is_named() -> None:
    """An event that never ends makes `idle` fail with its topic, partition and offsets."""
    hung = faust.App("testing-hung", broker="memory://", topic_partitions=1)
    topic = hung.topic("stuck", value_type=int, internal=True)

    @hung.agent(topic)
    async def hang(stream: Any) -> None:
        async for _ in stream:
            await asyncio.sleep(1000)

    async with faust.testing.run(hung, timeout=3, stream_wait_empty=False) as t:
        await t.send(topic, 1)
        with pytest.raises(faust.testing.NotIdle, match=r"stuck\[0\] has committed 0 of 1"):
            await t.idle()


async def test_a_rebalance_moves_partitions_away_and_back() -> None:
    """While a second member holds some partitions their messages wait; afterwards nothing is lost or doubled."""
    async with faust.testing.run(app) as t:
        for amount in range(1, 51):
            await t.send(orders, Order(account=f"a{amount}", amount=1), key=str(amount))
        await t.idle()
        before = set(app.consumer.tasks)
        async with t.rebalance():
            assert 0 < len(app.consumer.tasks) < len(before)
            for amount in range(1, 51):
                await t.send(orders, Order(account=f"a{amount}", amount=1), key=str(amount))
            await t.idle()
            assert sum(totals.values()) < 100
        await t.idle()
        assert set(app.consumer.tasks) == before
        assert dict(totals.items()) == {f"a{amount}": 2 for amount in range(1, 51)}


async def test_two_workers_share_the_work() -> None:
    """A second application of the same id gets its share of partitions and tables, and gives them back."""

    def make() -> tuple[faust.App, Any, Any]:
        one = faust.App("testing-pair", broker="memory://", topic_partitions=4)
        words = one.topic("words", key_type=str, value_type=str, internal=True)
        seen = one.Table("seen", default=int)

        @one.agent(words)
        async def count_words(stream: Any) -> None:
            async for word in stream:
                seen[word] += 1

        return one, words, seen

    (first, words, mine), (second, _, theirs) = make(), make()
    everything = {f"w{n}": 1 for n in range(40)}
    async with faust.testing.run(first) as t:
        async with t.rebalance(second) as other:
            assert other is not None
            for word in everything:
                await t.send(words, word, key=word)
            await t.idle()
            await other.idle()
            assert dict(mine.items())
            assert dict(theirs.items())
            assert dict(mine.items()) | dict(theirs.items()) == everything
            assert len(mine) + len(theirs) == 40
        assert dict(mine.items()) == everything


async def test_pain_44_tables_windows_time_and_rebalances_are_tested_without_a_broker() -> None:
    """Pain row 44: the example of Kafka Streams' TopologyTestDriver, the highest value per key, and windows beside it."""
    highest = faust.App("testing-highest", broker="kafka://not-asked", topic_partitions=2)
    numbers = highest.topic("numbers", key_type=str, value_type=int, internal=True)
    result = highest.topic("result", key_type=str, value_type=int, internal=True)
    best = highest.Table("best", default=int)
    minutes = highest.Table("minutes", default=int).tumbling(60.0).relative_to_stream()

    @highest.agent(numbers)
    async def aggregate(stream: Any) -> None:
        async for key, value in stream.items():
            minutes[key] += 1
            if value > best[key]:
                best[key] = value
                await result.send(key=key, value=value)

    async with faust.testing.run(highest) as t:
        for second, value in [(0.0, 5), (10.0, 3), (59.0, 9), (61.0, 2)]:
            await t.send(numbers, value, key="a", timestamp=1_700_000_040.0 + second)
        await t.idle()
        assert [(event.key, event.value) for event in t.messages(result)] == [("a", 5), ("a", 9)]
        await t.restart()
        assert best["a"] == 9
        async with t.rebalance():
            pass
        await t.send(numbers, 21, key="a", timestamp=1_700_000_040.0 + 62.0)
        await t.idle()
        assert best["a"] == 21
        counted = [
            (event.key[1], event.value) for event in t.messages(minutes.table.changelog_topic)
        ]
        assert [count for (start, _), count in counted if start == 1_700_000_040.0][-1] == 3
        assert [count for (start, _), count in counted if start == 1_700_000_100.0][-1] == 2


def test_the_pytest_plugin(tmp_path: Path) -> None:
    """``faust_run`` is the application of the fixture ``faust_app``, running; without one, a sentence says so."""
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["faust.testing.plugin"]\n')
    (tmp_path / "test_it.py").write_text(
        "import pytest, faust\n"
        "app = faust.App('plugged', broker='memory://')\n"
        "@pytest.fixture\n"
        "def faust_app(): return app\n"
        "async def test_it(faust_run):\n"
        "    await faust_run.idle()\n"
        "    assert faust_run.app is app\n"
    )
    (tmp_path / "test_not.py").write_text("async def test_not(faust_run): pass\n")
    command = [sys.executable, "-m", "pytest", "-q", "-o", "asyncio_mode=auto", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "1 passed, 1 error" in done.stdout, done.stdout
    assert "write a fixture named faust_app" in done.stdout


async def test_credentials_are_left_outside() -> None:
    """An app that logs in to its broker is tested on one that knows no users, and has its credentials afterwards."""
    credentials = faust.SASLCredentials(username="me", password="s3cret")
    secured = faust.App("secured", broker="kafka://not-asked", broker_credentials=credentials)
    seen: list[int] = []

    @secured.agent(secured.topic("numbers", value_type=int, internal=True, partitions=1))
    async def numbers(stream: Any) -> None:
        async for number in stream:
            seen.append(number)

    async with faust.testing.run(secured) as t:
        await t.send(numbers, 7)
        await t.idle()
    assert seen == [7]
    assert secured.conf.broker_credentials is credentials
