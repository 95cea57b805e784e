"""One program for either library: an agent, who asks it, who writes a topic and who reads it.

The test runs it under our interpreter and under that of faust-streaming, and lets each side play each part::

    python program.py PART BROKER ID MODE

PART is ``worker`` (answers until killed), ``client`` (asks, prints what it was answered as JSON), ``writer`` (writes
`RECORDS` to the topic ``ID-records``) or ``reader`` (prints what comes from there as JSON). MODE is ``headers`` or
``envelope``. It must run unchanged under both, so it uses nothing but the documented API.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from typing import Any

import faust

PART, BROKER, ID, MODE = sys.argv[1:5]

app = faust.App(
    ID,
    broker=BROKER,
    datadir=tempfile.mkdtemp(prefix="faust-interop-"),
    topic_partitions=2,
    topic_replication_factor=1,
    web_enabled=False,
    broker_session_timeout=10.0,
    broker_request_timeout=40.0,
    consumer_auto_offset_reset="earliest",
    reply_to=f"{ID}-{PART}-replies",
)


class Order(faust.Record, namespace="interop.Order"):
    """A model that both sides know."""

    acc: str
    n: int


double_topic = app.topic(f"{ID}-double", partitions=2, internal=True)


@app.agent(double_topic, name="double", use_reply_headers=MODE == "headers")
async def double(stream: Any) -> Any:
    """Answer with the double."""
    async for value in stream:
        if isinstance(value, Order):
            yield Order(acc=value.acc, n=value.n * 2)
        else:
            yield value * 2


RECORDS: list[tuple[Any, Any, dict[str, bytes], float]] = [
    ("text", {"a": 1, "b": [1.5, None, "é"]}, {"h1": b"one", "h2": b"\x00\xff"}, 1700000000.5),
    ("model", Order(acc="x", n=3), {}, 1700000001.25),
    (None, "just text", {"only": b""}, 1700000002.0),
    ("number", 12345678901234, {}, 1700000003.0),
]

records_topic = app.topic(f"{ID}-records", key_type=str, partitions=2, internal=True)


async def answered(ask: Any) -> Any:
    """Wait for an answer; faust-streaming loses one that comes before it has noted its question, so ask again."""
    for _ in range(4):
        try:
            return await asyncio.wait_for(ask(), 10)
        except TimeoutError:
            print("asking again", flush=True)
    raise SystemExit("never answered")


async def mapped() -> list[Any]:
    """Collect what `map` gives."""
    return sorted([value async for value in double.map(range(10))])


async def client() -> list[Any]:
    """Ask in every way, and show the answers."""
    shown: list[Any] = []
    for number in range(5):
        shown.append(await answered(lambda number=number: double.ask(number, key=b"k")))
    answer = await answered(lambda: double.ask(Order(acc="a", n=4)))
    shown.append([type(answer).__name__, answer.acc, answer.n])
    shown.append(await answered(lambda: double.ask("ab")))
    shown.append(await answered(lambda: double.ask([1, {"x": None}])))
    shown.append(await answered(lambda: double.join(range(20))))
    shown.append(await answered(mapped))
    return shown


async def writer() -> str:
    """Write the records, all to one partition."""
    for key, value, headers, timestamp in RECORDS:
        sent = await records_topic.send(
            key=key, value=value, headers=headers, timestamp=timestamp, partition=1
        )
        await sent
    return "written"


def show(event: Any) -> Any:
    """Show everything of an event that travels."""
    value = event.value
    return {
        "key": event.key.decode() if isinstance(event.key, bytes) else event.key,
        "value": ["Order", value.acc, value.n] if isinstance(value, Order) else value,
        "headers": {name: bytes(data).hex() for name, data in dict(event.headers or {}).items()},
        "timestamp": event.message.timestamp,
        "partition": event.message.partition,
        "offset": event.message.offset,
    }


if PART == "reader":
    shown: list[Any] = []

    @app.agent(records_topic, name="reader")
    async def reader(stream: Any) -> None:
        """Collect what was written."""
        async for event in stream.events():
            shown.append(show(event))


async def main() -> None:
    """Play the part."""
    if PART in ("worker", "reader"):
        await app.start()
        print("ready", flush=True)
        while PART == "worker" or len(shown) < len(RECORDS):
            await asyncio.sleep(0.05)
        print(json.dumps(shown), flush=True)
    else:
        result = await (client() if PART == "client" else writer())
        print(json.dumps(result), flush=True)
    await app.stop()


if __name__ == "__main__":
    asyncio.run(main())
