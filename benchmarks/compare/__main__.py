"""``python -m benchmarks.compare``: all comparisons, or those that are named."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from benchmarks.compare import report, throughput
from benchmarks.compare.on_kafka import OnKafka


@contextlib.contextmanager
def _cluster(server: str | None) -> Iterator[OnKafka]:
    """Use the Kafka at *server*, or start one."""
    if server:
        yield OnKafka(server)
        return
    from tests.support.kafka import KafkaCluster

    with KafkaCluster(heap="1g") as cluster:
        yield OnKafka(cluster.bootstrap)


@click.group()
@click.option("--kafka", "server", help="host:port of a Kafka that runs; default: start one.")
@click.pass_context
def main(ctx: click.Context, server: str | None) -> None:
    """Compare with faust-streaming, with the bare client, and local:// with Kafka."""
    scratch = Path(ctx.with_resource(tempfile.TemporaryDirectory(prefix="faust-bench-")))
    ctx.obj = {"kafka": ctx.with_resource(_cluster(server)), "scratch": scratch}


@main.command("throughput")
@click.option("--rounds", default=3, show_default=True)
@click.option("--smaller", default=1, help="Divide the sizes of the fast sides by this.")
@click.option("--side", "sides", multiple=True, type=click.Choice(throughput.SIDES))
@click.option("--workload", "workloads", multiple=True, type=click.Choice(throughput.WORKLOADS))
@click.pass_obj
def _throughput(
    obj: dict[str, Any], rounds: int, smaller: int, sides: tuple[str, ...], workloads: tuple[str, ...]
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
                if (side, workload) == ("bare", "table"):
                    continue  # a client library has no tables
                try:
                    row = bench.run(side, workload)
                except RuntimeError as exc:
                    failures.append({"round": number, "side": side, "workload": workload, "error": str(exc)})
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
        found = throughput.ratios(rows, target)
        if found:
            middle = sorted(found)[len(found) // 2]
            judged.append(
                {
                    "title": target.title,
                    "against": target.against,
                    "ratios": found,
                    "least": target.least,
                    "holds": middle >= target.least,
                }
            )
    report.show(
        "ratios",
        ["what", "against", "ratio", "at least", "holds"],
        [
            [
                each["title"],
                each["against"],
                report.spread(each["ratios"], "{:.2f}"),
                f"{each['least']:g}",
                "yes" if each["holds"] else "MISSED",
            ]
            for each in judged
        ],
    )
    report.keep("throughput", {"rows": rows, "targets": judged, "failures": failures})


def _on_local(scratch: Path) -> Any:
    from benchmarks.compare.on_local import OnLocal

    return OnLocal(scratch / "broker")


if __name__ == "__main__":
    main()
