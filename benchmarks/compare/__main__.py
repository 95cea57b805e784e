"""``python -m benchmarks.compare``: all comparisons, or those that are named."""

from __future__ import annotations

import contextlib
import itertools
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from benchmarks.compare import latency, models, recovery, report, rpc, throughput
from benchmarks.compare.on_kafka import OnKafka


@contextlib.contextmanager
def _cluster(server: str | None) -> Iterator[OnKafka]:
    """Use the Kafka at *server*, or start one."""
    if server:
        yield OnKafka(server)
        return
    from tests.support.kafka import KafkaCluster

    with KafkaCluster(heap="1g", measured=True) as cluster:
        yield OnKafka(cluster.bootstrap)


@click.group()
@click.option("--kafka", "server", help="host:port of a Kafka that runs; default: start one.")
@click.pass_context
def main(ctx: click.Context, server: str | None) -> None:
    """Compare with faust-streaming, with the bare client, and local:// with Kafka."""
    scratch = Path(ctx.with_resource(tempfile.TemporaryDirectory(prefix="faust-bench-")))
    needs_kafka = ctx.invoked_subcommand != "models"
    kafka = ctx.with_resource(_cluster(server)) if needs_kafka else None
    ctx.obj = {"kafka": kafka, "scratch": scratch}


@main.command("all")
@click.option("--short", is_flag=True, help="Once each, with fewer events.")
@click.pass_context
def _all(ctx: click.Context, *, short: bool) -> None:
    """Run every comparison on one cluster."""
    rounds = 1 if short else 3
    ctx.invoke(_models, rounds=3 if short else 7)
    ctx.invoke(_throughput, rounds=rounds, smaller=4 if short else 1)
    ctx.invoke(_operators, rounds=rounds, smaller=4 if short else 1)
    ctx.invoke(_tables, rounds=rounds, smaller=4 if short else 1)
    ctx.invoke(_latency, rounds=rounds, seconds=5.0 if short else 8.0)
    ctx.invoke(_recovery, rounds=rounds, keys=200_000 if short else 1_000_000)
    ctx.invoke(_idle, seconds=10.0 if short else 20.0)


@main.command("models")
@click.option("--rounds", default=7, show_default=True)
def _models(rounds: int) -> None:
    """Decoding, encoding and construction of records; needs no Kafka."""
    rows = models.measure(rounds)
    judged = models.judge(rows)
    report.show(
        "models: nanoseconds per operation; the median (and the spread) of the rounds",
        ["operation", "against", "ours", "other", "ratio", "wanted", "holds"],
        [
            [
                each["operation"],
                each["against"],
                report.spread(each["ours"], "{:,.0f}"),
                report.spread(each["other"], "{:,.0f}"),
                report.spread(each["ratios"], "{:.2f}"),
                "-"
                if each["bound"] is None
                else f"{'at most' if each['at_most'] else 'at least'} {each['bound']:g}",
                {None: "-", True: "yes", False: "MISSED"}[each["holds"]],
            ]
            for each in judged
        ],
    )
    report.keep("models", {"rows": rows, "targets": judged})


@main.command("throughput")
@click.option("--rounds", default=3, show_default=True)
@click.option("--smaller", default=1, help="Divide the sizes of the fast sides by this.")
@click.option("--side", "sides", multiple=True, type=click.Choice(throughput.SIDES))
@click.option(
    "--workload",
    "workloads",
    multiple=True,
    type=click.Choice((*throughput.WORKLOADS, *throughput.TABLES, *throughput.OPERATORS)),
)
@click.pass_obj
def _throughput(
    obj: dict[str, Any],
    rounds: int,
    smaller: int,
    sides: tuple[str, ...],
    workloads: tuple[str, ...],
) -> None:
    """Events per second of whole workers."""
    chosen, jobs = list(sides or throughput.SIDES), list(workloads or throughput.WORKLOADS)
    local = _on_local(obj["scratch"]) if "local" in chosen else None
    sizes = throughput.Sizes().smaller(smaller)
    bench = throughput.Throughput(obj["kafka"], local, sizes, obj["scratch"])
    bench.prepare(chosen, jobs)
    rows, failures = [], []
    for number in range(1, rounds + 1):
        for workload in jobs:
            for side in chosen:
                if (side, workload) in throughput.MISSING:
                    continue
                try:
                    row = bench.run(side, workload)
                except RuntimeError as exc:
                    failures.append(
                        {"round": number, "side": side, "workload": workload, "error": str(exc)}
                    )
                    print(f"  round {number} {workload} {side}: FAILED: {exc}", flush=True)
                    continue
                rows.append({"round": number, **row})
                print(f"  round {number} {workload:6} {side:10} {row['rate']:12,.0f}/s", flush=True)
    bench.clean()
    _show_throughput(rows, failures)
    if failures:
        raise SystemExit(1)


def _show_throughput(rows: list[dict[str, Any]], failures: list[dict[str, Any]]) -> None:
    report.show(
        "events per second and process; the median (and the spread) of the rounds",
        ["workload", "side", "rate", "until committed", "CPU us/event", "RSS MiB"],
        throughput.summary(rows),
    )
    judged = []
    for target in throughput.TARGETS:
        found = throughput.ratios(rows, target, throughput.rate)
        if found:
            middle = statistics.median(found)
            judged.append(
                {
                    "title": target.title,
                    "against": target.against,
                    "ratios": found,
                    "cpu_ratios": throughput.ratios(rows, target, throughput.per_cpu_second),
                    "least": target.least,
                    "holds": middle >= target.least,
                }
            )
    report.show(
        "ratios",
        ["what", "against", "ratio", "at least", "holds", "ratio by CPU time"],
        [
            [
                each["title"],
                each["against"],
                report.spread(each["ratios"], "{:.2f}"),
                f"{each['least']:g}",
                "yes" if each["holds"] else "MISSED",
                report.spread(each["cpu_ratios"], "{:.2f}"),
            ]
            for each in judged
        ],
    )
    report.keep("throughput", {"rows": rows, "targets": judged, "failures": failures})


@main.command("operators")
@click.option("--rounds", default=3, show_default=True)
@click.option("--smaller", default=1, help="Divide the sizes of the fast sides by this.")
@click.pass_context
def _operators(ctx: click.Context, rounds: int, smaller: int) -> None:
    """Several readers, lists, events, repartitioning and sinks."""
    ctx.invoke(
        _throughput,
        rounds=rounds,
        smaller=smaller,
        sides=("reference", "kafka"),
        workloads=throughput.OPERATORS,
    )


@main.command("tables")
@click.option("--rounds", default=3, show_default=True)
@click.option("--smaller", default=1, help="Divide the sizes of the fast sides by this.")
@click.pass_context
def _tables(ctx: click.Context, rounds: int, smaller: int) -> None:
    """Tables in RocksDB, with windows, and of sets."""
    ctx.invoke(
        _throughput,
        rounds=rounds,
        smaller=smaller,
        sides=("reference", "quix", "kafka"),
        workloads=throughput.TABLES,
    )


@main.command("latency")
@click.option("--seconds", default=8.0, show_default=True, help="Length of one measurement.")
@click.option("--rounds", default=3, show_default=True)
@click.option("--side", "sides", multiple=True, type=click.Choice(["reference", "kafka"]))
@click.option("--rate", "rates", multiple=True, type=int, help="Events per second.")
@click.pass_obj
def _latency(
    obj: dict[str, Any],
    seconds: float,
    rounds: int,
    sides: tuple[str, ...] = (),
    rates: tuple[int, ...] = (),
) -> None:
    """Producer to agent to topic to consumer, beside the same chain without a worker."""
    rows = []
    for number in range(1, rounds + 1):
        for rate in rates or latency.RATES:
            for side in (None, *(sides or ("kafka",))):
                row = latency.measure(obj["kafka"], side, rate, seconds, obj["scratch"])
                rows.append({"round": number, **row})
                print(f"  round {number} {rate:6}/s {row}", flush=True)
    report.show(
        "latency in milliseconds; the median (and the spread) of the rounds",
        ["rate", "side", "p50", "p99", "max", "CPU us/event", "switches/event", "arrived"],
        latency.summary(rows),
    )
    judged = latency.judge(rows)
    report.show(
        "latency above the chain without a worker",
        ["rate", "what", "is", "at most", "holds"],
        [
            [
                f"{each['rate']}",
                each["what"],
                f"{each['is']:.2f}",
                f"{each['most']:.2f}",
                "yes" if each["holds"] else "MISSED",
            ]
            for each in judged
        ],
    )
    report.keep("latency", {"rows": rows, "targets": judged})


@main.command("recovery")
@click.option("--keys", default=1_000_000, show_default=True)
@click.option("--rounds", default=3, show_default=True)
@click.option("--side", "sides", multiple=True, type=click.Choice(["reference", "kafka", "local"]))
@click.pass_obj
def _recovery(obj: dict[str, Any], keys: int, rounds: int, sides: tuple[str, ...]) -> None:
    """Recovery of a large table, into memory and into RocksDB."""
    chosen = sides or ("kafka", "local")
    brokers = _brokers(obj, chosen)
    rows = []
    for number in range(1, rounds + 1):
        for side in chosen:
            for store in recovery.LEAST:
                row = recovery.recover(brokers[side], side, keys, store, obj["scratch"])
                rows.append({"round": number, **row})
                print(f"  round {number} {side:10} {store:8} {row['rate']:12,.0f}/s", flush=True)
    lines = []
    for side, (store, least) in itertools.product(chosen, recovery.LEAST.items()):
        mine = [row for row in rows if (row["side"], row["store"]) == (side, store)]
        middle = statistics.median(row["rate"] for row in mine)
        lines.append(
            [
                side,
                store,
                report.spread([row["rate"] for row in mine], "{:,.0f}"),
                f"{least:,}",
                report.spread([row["seconds"] for row in mine], "{:.2f}"),
                report.spread([row["cpu_seconds"] for row in mine], "{:.2f}"),
                f"{max(row['max_rss_kb'] for row in mine) / 1024:.0f}",
                "-" if side == "reference" else "yes" if middle >= least else "MISSED",
            ]
        )
    report.show(
        f"recovery of {keys:,} keys",
        ["side", "store", "keys/s", "at least", "seconds", "CPU seconds", "RSS MiB", "holds"],
        lines,
    )
    report.keep("recovery", {"rows": rows})


@main.command("idle")
@click.option("--seconds", default=20.0, show_default=True)
@click.option("--side", "sides", multiple=True, type=click.Choice(["reference", "kafka", "local"]))
@click.pass_obj
def _idle(obj: dict[str, Any], seconds: float, sides: tuple[str, ...]) -> None:
    """CPU and memory of a worker with nothing to do; under 1 % of a core."""
    chosen = sides or ("reference", "kafka", "local")
    brokers = _brokers(obj, chosen)
    rows = [recovery.idle(brokers[side], side, seconds, obj["scratch"]) for side in chosen]
    report.show(
        "an idle worker: 1 agent, 8 partitions",
        ["side", "CPU % of a core", "RSS MiB", "under 1 %"],
        [
            [
                row["side"],
                f"{row['cpu_percent']:.2f}",
                f"{row['rss_mb']:.0f}",
                "yes"
                if row["cpu_percent"] < 1
                else "MISSED"
                if row["side"] != "reference"
                else "-",
            ]
            for row in rows
        ],
    )
    report.keep("idle", {"rows": rows})


@main.command("rpc")
@click.option("--rounds", default=3, show_default=True)
@click.option("--side", "sides", multiple=True, type=click.Choice(rpc.SIDES))
@click.pass_obj
def _rpc(obj: dict[str, Any], rounds: int, sides: tuple[str, ...]) -> None:
    """Questions to an agent; at least ten times as many per second as the reference answers."""
    rows = [rpc.measure(obj["kafka"], side, rounds, obj["scratch"]) for side in sides or rpc.SIDES]
    report.show(
        "questions answered per second; the median (and the spread) of the rounds",
        ["side", "at once", "per second", "lost", "ms one by one", "RSS MiB"],
        rpc.summary(rows),
    )
    found = rpc.ratio(rows)
    if found is not None:
        holds = "yes" if found >= rpc.LEAST else "MISSED"
        print(f"ratio {found:.1f}, at least {rpc.LEAST:g}: {holds}")
    report.keep("rpc", {"rows": rows, "ratio": found})


def _brokers(obj: dict[str, Any], sides: tuple[str, ...]) -> dict[str, Any]:
    local = _on_local(obj["scratch"]) if "local" in sides else None
    return {"reference": obj["kafka"], "kafka": obj["kafka"], "local": local}


def _on_local(scratch: Path) -> Any:
    from benchmarks.compare.on_local import OnLocal

    return OnLocal(scratch / "broker")


if __name__ == "__main__":
    main()
