"""Keys of a declared type, without a serializer."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

import faust
import faust.testing


class Place(faust.Record, namespace="typed-keys.Place"):
    city: str
    number: int


@pytest.mark.parametrize(
    ("typ", "keys"),
    [
        (Place, [Place("Rome", 1), Place("Oslo", 2)]),
        (int, [7, -1]),
        (float, [0.5]),
        (Decimal, [Decimal("1.10")]),
    ],
    ids=["model", "int", "float", "Decimal"],
)
async def test_a_topic_is_sent_keys_of_its_type(typ: Any, keys: list[Any]) -> None:
    """Topic(key_type=...): keys of that type can be sent, and come back as what they were."""
    app = faust.App("typed-keys", broker="memory://", topic_partitions=1)
    topic = app.topic("places", key_type=typ, value_type=str)
    seen: list[Any] = []

    @app.agent(topic)
    async def look(stream: faust.Stream[str]) -> None:
        async for event in stream.events():
            seen.append(event.key)

    async with faust.testing.run(app) as running:
        for key in keys:
            await topic.send(key=key, value="x")
            topic.send_soon(key=key, value="x")
        await running.idle()
    assert sorted(map(str, seen)) == sorted(map(str, keys * 2))
    assert {type(key) for key in seen} == {typ}
