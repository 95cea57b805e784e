"""The same jobs by quixstreams 3.28, through its documented API, in a virtualenv of its own (`.venv-quix`).

Its state always is RocksDB with a changelog topic, written when it commits; so ``table`` and ``rocksdb`` are one job. All
settings are its defaults, but for those that `benchmarks.bench_exactly_once` asks for: guarantee and commit interval.
It reads as many events as it is told to, which is how it is stopped; its clock ends with its last event, or with the end
of ``run``, which commits and closes everything.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from meter import Meter, environment
from quixstreams import Application, State
from quixstreams.models import TopicConfig

WORKLOAD = environment("WORKLOAD")
COUNT = int(environment("COUNT"))

meter = Meter(COUNT, Path(environment("RESULT")))
number = total = 0
mark = 1


def options() -> dict[str, Any]:
    """Return what is not a default."""
    found: dict[str, Any] = {}
    guarantee, interval = os.environ.get("BENCH_GUARANTEE"), os.environ.get("BENCH_INTERVAL")
    if guarantee:
        found["processing_guarantee"] = guarantee.replace("_", "-")
    if interval:
        found["commit_interval"] = float(interval)
    return found


app = Application(
    broker_address=environment("BROKER").removeprefix("kafka://"),
    consumer_group=environment("ID"),
    auto_offset_reset="earliest",
    state_dir=environment("DATADIR"),
    loglevel="WARNING",
    **options(),
)
config = TopicConfig(num_partitions=8, replication_factor=1)
events = app.topic(
    environment("TOPIC"), key_deserializer="str", value_deserializer="json", config=config
)


def count(value: dict[str, Any]) -> None:
    """Add one field up."""
    global number, total, mark
    number += 1
    total += value["n"]
    if number == mark:
        mark = meter.mark(number, total)


def count_by_key(value: dict[str, Any], state: State) -> None:
    """Count by key, in the state of the key, with a changelog."""
    state.set("n", state.get("n", 0) + 1)
    count(value)


def change(value: dict[str, Any]) -> dict[str, Any]:
    """Change one field."""
    count(value)
    value["n"] += 1
    return value


def main() -> None:
    """Run one workload to its end."""
    frame = app.dataframe(events)
    if WORKLOAD in {"table", "rocksdb"}:
        frame = frame.update(count_by_key, stateful=True)
    elif WORKLOAD == "map":
        out = app.topic(
            environment("OUT"), key_serializer="str", value_serializer="json", config=config
        )
        frame = frame.apply(change).to_topic(out)
    else:
        frame = frame.update(count)
    app.run(count=COUNT, collect=False)
    meter.settled()


if __name__ == "__main__":
    main()
