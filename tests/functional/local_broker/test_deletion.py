"""Topics that are deleted and made anew while the clients of the embedded broker use them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from faust.exceptions import UnknownTopic
from faust.messages import TP
from tests.support.driving import Stage


@pytest.fixture(params=["memory", "local"])
async def stage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stage]:
    """A broker without topics that nobody has created."""
    where = tmp_path if request.param == "local" else f"deletion-{tmp_path.name}"
    made = Stage(f"{request.param}://{where}?auto_create=no", lambda name="words": name, None)
    yield made
    await made.close()


async def test_a_producer_learns_how_many_partitions_a_topic_has_now(stage: Stage) -> None:
    """The first record for a partition that is no more fails; then the producer asks the broker again."""
    await stage.topic(4)
    producer = await stage.producer()
    assert await producer.load_partitions("words") == (0, 1, 2, 3)
    await (await stage.admin()).delete_topics(["words"])
    with pytest.raises(UnknownTopic, match=r"words\[3\]"):
        await producer.append("words", 3, None, b"nowhere")
    assert producer.partitions("words") is None
    with pytest.raises(UnknownTopic, match="auto_create=no"):
        await producer.load_partitions("words")
    await stage.topic(1)
    assert await producer.load_partitions("words") == (0,)
    assert (await producer.append("words", 0, None, b"here")).offset == 0
    with pytest.raises(UnknownTopic, match="there is no topic"):
        await producer.flush()


async def test_another_client_goes_on_with_the_new_topic(stage: Stage) -> None:
    """A producer that knows the old topic's end writes at the start of the new one."""
    await stage.topic(2)
    producer, other = await stage.producer(), await stage.producer()
    for client in (producer, other):
        await client.append("words", 0, None, b"old")
    admin = await stage.admin()
    await admin.delete_topics(["words"])
    await stage.topic(2)
    assert (await producer.append("words", 0, None, b"new")).offset == 0
    assert (await other.append("words", 0, None, b"new")).offset == 1
    assert (await admin.offsets([TP("words", 0)]))[TP("words", 0)] == (0, 2)
