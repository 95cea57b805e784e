"""``faust repartition``: a table moves to another number of partitions, and no interruption loses anything (pain row 40)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import faust
from faust.app.clients import producer_options
from faust.cli.main import call_command
from faust.exceptions import ImproperlyConfigured
from faust.messages import TP
from faust.tables.cures import repartition_topic
from faust.tables.repartition import Repartition
from faust.transport.base import TopicSpec
from tests.support.apps import committed_everything, eventually, make_app, running

Name = Callable[[str], str]

OLD, NEW = 5, 8
WORDS = [f"w{number}" for number in range(60)] + ["é", "a b", '"']
NO_KAFKA = ["memory"]


class Shop:
    """An app with a table of every kind, made anew for each life."""

    def __init__(self, url: str, id: str, directory: Path, store: str) -> None:
        self.app: faust.App = make_app(
            url, id, datadir=directory, store=store, topic_partitions=1, web_enabled=False
        )
        self.words = self.app.topic(f"{id}-words", key_type=str, value_type=str)
        self.counts = self.app.Table("counts", default=int)
        views = self.app.Table("views", default=int, on_window_close=self._close, grace=1.0)
        self.views = views.tumbling(1e9, expires=1e9, key_index=True)
        self.sets = self.app.SetTable("sets")
        self.seen = 0

        @self.app.agent(self.words)
        async def count(stream: Any) -> None:
            async for word, value in stream.items():
                self.counts[word] += 1
                self.views[word] += 1
                self.sets[word].add(value)
                self.seen += 1

    async def _close(self, key: Any, value: Any) -> None:
        pass

    @property
    def source(self) -> str:
        """Name of the topic that is read."""
        return self.words.get_topic_name()

    @property
    def changelog(self) -> str:
        """Name of the changelog of the counts."""
        return self.counts.changelog_topic_name

    async def feed(self, words: list[str], value: str) -> None:
        """Send words, and wait until they are counted and committed."""
        before = self.seen
        for word in words:
            await self.words.send(key=word, value=value)
        await eventually(lambda: self.seen >= before + len(words))
        await committed_everything(self.app)

    def contents(self) -> tuple[dict[str, int], dict[str, int], dict[str, set[str]]]:
        """Return what the tables have."""
        return (
            dict(self.counts.items()),
            {key: value for (key, _), value in self.views.table.items()},
            {key: set(members) for key, members in self.sets.items()},
        )


async def declare(url: str, topic: str, partitions: int, *, anew: bool = False) -> None:
    """Create a topic, or make it anew with another number of partitions (Kafka could grow it)."""
    app = make_app(url, "declaring")
    admin = await app._started_admin()
    if anew:
        await admin.delete_topics([topic])
        async with asyncio.timeout(20):
            while (await admin.describe_topics([topic]))[topic] is not None:
                await asyncio.sleep(0.05)
        await asyncio.sleep(0.3)
    await admin.create_topics([TopicSpec(name=topic, partitions=partitions)])
    await app.close_clients()


def run(shop: Shop, table: str, *options: str) -> tuple[int, str, str]:
    """Run the command, as a program of its own would."""
    status, out, err = call_command("repartition", [table, *options], app=shop.app)
    return status, out.getvalue(), err.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize("store", ["memory://", "rocksdb://"])
async def test_pain_40_a_table_moves_to_more_partitions(
    broker_url: str, topic_name: Name, tmp_path: Path, store: str
) -> None:
    """Five partitions grow to eight: each kind of table has what it had, and counts go on (recovery-rebalance.md 4.1)."""
    id = topic_name("shop")

    def shop() -> Shop:
        return Shop(broker_url, id, tmp_path, store)

    first = shop()
    await declare(broker_url, first.source, OLD)
    async with running(first.app):
        await first.feed(WORDS, "x")
        before = first.contents()
        status, _, err = await asyncio.to_thread(run, shop(), "counts", "--partitions", str(NEW))
        assert status != 0
        assert "1 members" in err
    await declare(broker_url, first.source, NEW, anew=True)
    for table in ("counts", "views", "sets"):
        status, out, err = await asyncio.to_thread(run, shop(), table)
        assert status == 0, err
        assert f"{NEW} partitions, " in out
        assert out.count("\n") == (3 if table == "views" else 1)  # with its key index and its marks
    again = shop()
    async with running(again.app):
        await eventually(lambda: again.contents() == before)
        assert len(again.counts.held) == NEW
        await again.feed(WORDS, "y")
        assert again.contents() == (
            dict.fromkeys(WORDS, 2),
            dict.fromkeys(WORDS, 2),
            {word: {"x", "y"} for word in WORDS},
        )
    status, out, _ = await asyncio.to_thread(run, shop(), "counts")
    assert (status, "has 8 partitions already" in out) == (0, True)


class Killed(Exception):
    """The process is gone."""


class Mortal:
    """A client that dies with the n-th request."""

    def __init__(self, client: Any, clock: dict[str, int]) -> None:
        self._client = client
        self._clock = clock

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if not callable(found):
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            self._clock["left"] -= 1
            if self._clock["left"] < 0:
                raise Killed
            return found(*args, **kwargs)

        return call


async def repartition(shop: Shop, requests: int, *, marks: bool = False) -> bool:
    """Repartition the counts (or the marks of the views), and be killed after so many requests; say whether it came to the end."""
    app = shop.app
    app.prepare()
    clock = {"left": requests}
    admin = await app._started_admin()
    reader = app.reader_driver()
    producer = app.producer_transport.producer(producer_options(app.conf))
    await reader.start()
    await producer.start()
    try:
        await Repartition(
            shop.views.table.closed_marks if marks else shop.counts,
            NEW,
            marks=marks,
            group_id=app.conf.id,
            place=lambda key, _raw, among: app.router.partition_of(shop.counts, key, among),
            admin=Mortal(admin, clock),  # type: ignore[arg-type]
            reader=Mortal(reader, clock),  # type: ignore[arg-type]
            producer=Mortal(producer, clock),  # type: ignore[arg-type]
        ).run()
    except Killed:
        return False
    finally:
        await producer.close()
        await reader.close()
        await app.close_clients()
    return True


async def start(shop: Shop) -> None:
    """Start a worker, and stop it."""
    again = Shop(str(shop.app.conf.broker[0]), shop.app.conf.id, shop.app.conf.datadir, "memory")
    try:
        await again.app.start()
    finally:
        await again.app.stop()


async def count_of(shop: Shop, topic: str) -> int:
    """Return how many partitions a topic has."""
    reader = shop.app.reader_driver()
    await reader.start()
    numbers = await reader.partitions_for(topic)
    await reader.close()
    return len(numbers or ())


async def logged(shop: Shop) -> dict[str, int]:
    """Return what a fresh reader makes of the changelog."""
    reader = shop.app.reader_driver()
    await reader.start()
    numbers = await reader.partitions_for(shop.changelog) or frozenset()
    tps = [TP(shop.changelog, number) for number in numbers]
    await reader.assign(tps)
    ends = await reader.end_offsets(tps)
    await reader.seek(dict.fromkeys(tps, 0))
    found: dict[str, int] = {}
    left = {tp for tp in tps if ends[tp]}
    while left:
        for batch in await reader.take(0.1):
            for record in batch.records:
                assert record.key is not None
                key = shop.counts.codec.decode_key(batch.tp, record.key)
                right = shop.app.router.partition_of(shop.counts, key, len(tps))
                assert right == batch.tp.partition, f"{key} is misplaced"
                found[key] = int(record.value or b"0")
        left = {tp for tp in left if await reader.position(tp) < ends[tp]}
    await reader.close()
    return found


@pytest.mark.parametrize("broker_url", NO_KAFKA, indirect=True)
async def test_pain_40_no_kill_loses_anything(
    broker_url: str, topic_name: Name, tmp_path: Path
) -> None:
    """Killed before any of its requests and run again: everything is there; between them no worker starts with half of it."""
    requests = 0
    finished = False
    refused = 0
    while not finished:
        shop = Shop(broker_url, topic_name(f"killed{requests}"), tmp_path / str(requests), "memory")
        shop.app.topics.discard(shop.words)
        await declare(broker_url, shop.changelog, OLD)
        producer = shop.app.producer_transport.producer(producer_options(shop.app.conf))
        await producer.start()
        await producer.load_partitions(shop.changelog)
        codec = shop.counts.codec
        right = {word: number for number, word in enumerate(WORDS, 1)}
        for word, number in right.items():
            where = shop.app.router.partition_of(shop.counts, word, OLD)
            producer.append(shop.changelog, where, codec.encode_key(word), b"%d" % number)
        await producer.close()
        finished = await repartition(shop, requests)
        if not finished:
            beside = repartition_topic(shop.changelog)
            if await count_of(shop, beside):
                refused += 1
                with pytest.raises(ImproperlyConfigured, match="faust -A"):
                    await start(shop)
            else:
                assert await logged(shop) == right
            assert await repartition(shop, 10**9)
        assert await logged(shop) == right
        assert await count_of(shop, shop.changelog) == NEW
        assert await count_of(shop, repartition_topic(shop.changelog)) == 0
        requests += 1 if requests < 15 or requests > 150 else 7
    assert requests > 60
    assert refused > 10


@pytest.mark.parametrize("broker_url", NO_KAFKA, indirect=True)
@pytest.mark.parametrize(("marked", "least"), [(OLD, 10.0), (OLD - 1, None)])
async def test_marks_of_closed_windows(
    broker_url: str, topic_name: Name, tmp_path: Path, marked: int, least: float | None
) -> None:
    """A new partition counts as closed up to where all old ones were: a window may close twice, never not at all (windows.md 3)."""
    shop = Shop(broker_url, topic_name("shop"), tmp_path, "memory")
    changelog = shop.views.table.closed_marks.changelog_topic_name
    await declare(broker_url, changelog, OLD)
    producer = shop.app.producer_transport.producer(producer_options(shop.app.conf))
    await producer.start()
    await producer.load_partitions(changelog)
    for number in range(marked):
        for end in (1.0, 10.0 * (OLD - number)):
            producer.append(changelog, number, b'"closed"', b"%f" % end)
    await producer.close()
    assert await repartition(shop, 10**9, marks=True)
    reader = shop.app.reader_driver()
    await reader.start()
    tps = [TP(changelog, number) for number in range(NEW)]
    await reader.assign(tps)
    ends = await reader.end_offsets(tps)
    await reader.seek(dict.fromkeys(tps, 0))
    found: dict[int, list[float]] = {}
    while len(found) < sum(ends.values()):
        for batch in await reader.take(0.1):
            found[batch.tp.partition] = [float(record.value or b"") for record in batch.records]
    await reader.close()
    await shop.app.close_clients()
    assert found == ({} if least is None else {number: [least] for number in range(NEW)})


@pytest.mark.parametrize("broker_url", NO_KAFKA, indirect=True)
async def test_keys_that_are_not_where_they_belong_are_refused(
    broker_url: str, topic_name: Name, tmp_path: Path
) -> None:
    """A table whose keys are not those of its events cannot be placed: it says so, and the changelog is as it was."""
    id = topic_name("shop")

    def shop() -> Shop:
        return Shop(broker_url, id, tmp_path, "memory://")

    first = shop()
    await declare(broker_url, first.source, OLD)
    async with running(first.app):
        for number in range(OLD):
            await first.words.send(key="same", value="x", partition=number)
        await eventually(lambda: first.seen == OLD)
        await committed_everything(first.app)
    status, _, err = await asyncio.to_thread(run, shop(), "counts", "-p", "8")
    assert status != 0
    assert "key 'same' is in partition" in err
    again = shop()
    async with running(again.app):
        await eventually(lambda: len(list(again.counts.held)) == OLD)


@pytest.mark.parametrize("broker_url", NO_KAFKA, indirect=True)
async def test_mistakes_are_named(broker_url: str, topic_name: Name, tmp_path: Path) -> None:
    """A table that is not there, a changelog that is not there, and no number of partitions."""
    id = topic_name("shop")

    def shop() -> Shop:
        return Shop(broker_url, id, tmp_path, "memory://")

    _, _, err = await asyncio.to_thread(run, shop(), "nothing")
    assert "no table 'nothing'; there are: counts, sets, views" in err
    _, _, err = await asyncio.to_thread(run, shop(), "counts")
    assert "say --partitions" in err
    _, _, err = await asyncio.to_thread(run, shop(), "counts", "-p", "3")
    assert "does not exist" in err
