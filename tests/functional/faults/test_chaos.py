"""Acceptances 1 to 3 of issue 8 in short; `chaos` takes the same scenes from its command line, `campaign` plays many long ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from faust.testing.faults import Plan
from tests.functional.faults.chaos import CATCH_UP, Scene, run
from tests.support.kafka import KafkaCluster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


async def test_a_frozen_worker_overwrites_no_table(tmp_path: Path) -> None:
    """C17, tables.md: who wakes up after its session sends nothing to changelogs that others write by now."""
    plan = Plan.parse("3:freeze:0:6")
    scene = Scene(app="count", events=27_000, rate=2_500, plan=plan)
    report = await run(scene, "local", tmp_path)
    assert not report.problems, str(report)
    assert report.sent == 27_000
    assert report.account is not None
    assert report.account.handled >= 27_000


EXACT = {
    "count": (
        "local",
        Scene(app="count", store="rocksdb", standbys=1),
        "1.5:kill:0:0.5 2:freeze:1:5",
    ),
    "group": ("kafka", Scene(app="group"), "1.5:kill:1:0.5 1:net-refuse:0:6"),
    "rpc": ("local", Scene(app="rpc", standbys=1), "1.5:freeze:0:5 1:kill:1:0.5"),
}


@pytest.mark.parametrize("name", ["count", pytest.param("group", marks=pytest.mark.kafka), "rpc"])
async def test_exactly_once_under_faults(tmp_path: Path, name: str) -> None:
    """Exactly once: each id once in order for a reader that reads committed; table, RocksDB directories and recoveries exact."""
    broker, scene, plan = EXACT[name]
    scene = replace(
        scene, guarantee="exactly_once", events=12_000, rate=2_000, plan=Plan.parse(plan)
    )
    report = await run(scene, broker, tmp_path)
    assert not report.problems, str(report)
    assert report.table == ("-" if name == "rpc" else "exact")
    assert report.directories >= (8 if scene.store == "rocksdb" else 0)


async def test_answers_survive_the_deaths_of_workers(tmp_path: Path) -> None:
    """agents.md: questions asked while workers die, leave and hang are answered; a worker that hangs ends with 0 in time."""
    plan = Plan.parse("2:kill:1:0.5 2:join:0:2 0.5:hang:0:7 0.5:term:0:0.5")
    scene = Scene(app="rpc", events=15_000, rate=2_000, plan=plan)
    report = await run(scene, "local", tmp_path)
    assert not report.problems, str(report)


async def test_sigterm_while_workers_start_and_partitions_move(tmp_path: Path) -> None:
    """Wherever a worker is between its first line and its readiness, SIGTERM ends it with 0, and nothing comes twice."""
    plan = Plan.parse(" ".join(f"{0.2 + number * 0.1:.1f}:term:{number}" for number in range(9)))
    scene = Scene(app="count", workers=2, events=8_000, rate=1_000, plan=plan)
    report = await run(scene, "local", tmp_path)
    assert not report.problems, str(report)
    assert report.ledger.doubled == report.surplus == 0
    assert len(report.stops) == len(plan) + 2


@pytest.mark.kafka
async def test_a_table_of_windows_survives_kills_and_a_bad_network(tmp_path: Path) -> None:
    """At least once: group_by and windows lose nothing; SIGTERM ends with 0 in time also when the broker cannot be reached."""
    plan = Plan.parse("2:kill:1:0.5 1:net-cut 1:net-stall:0:9 0.5:term:0:2")
    scene = Scene(app="group", store="rocksdb", events=16_000, rate=2_000, plan=plan)
    report = await run(scene, "kafka", tmp_path)
    assert not report.problems, str(report)


@pytest.mark.kafka
async def test_pain_1_everything_gets_on_after_faults_of_three_brokers(tmp_path: Path) -> None:
    """Pain rows 1 and 2: 30 s after the coordinator and an agent were away everything is committed."""
    plan = Plan.parse("0.5:coordinator:0:1 0.5:poison:3 0.5:hang:0:1.5")
    scene = Scene(rate=1_000, plan=plan, catch_up=True)
    report = await run(scene, "cluster", tmp_path)
    assert not report.problems, str(report)
    assert [outcome.step for outcome in report.outcomes] == list(plan)
    assert all((outcome.resumed or 0.0) < CATCH_UP for outcome in report.outcomes)


@pytest.mark.kafka
@pytest.mark.parametrize(
    ("app", "store", "standbys"), [("pipe", "memory", 0), ("count", "rocksdb", 1)]
)
async def test_pain_23_each_id_exactly_once(
    kafka_cluster: KafkaCluster, tmp_path: Path, app: str, store: str, standbys: int
) -> None:
    """Row 23: kills, a SIGSTOP beyond the transaction's time, rebalances: a committed reader sees each id once, sums are exact."""
    scene = Scene(
        app=app,
        guarantee="exactly_once",
        store=store,
        standbys=standbys,
        events=16_000,
        rate=2_000,
        plan=Plan.parse("1.5:kill:0:0.5 1.5:freeze:1:6.5 1.5:join:0:1.5 2:kill:2:0.2"),
        settings={"broker_transaction_timeout": 5.0},
    )
    kafka_cluster.heal()
    stage = {"url": kafka_cluster.url, "workers_url": kafka_cluster.url}
    report = await run(scene, "kafka", tmp_path, stage)
    assert not report.problems, str(report)
    assert (report.sent, report.ledger.seen) == (16_000, 16_000)
    assert report.ledger.doubled == report.ledger.lost == report.surplus == 0
