"""``faust repartition``: move a table to another number of partitions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import click

from faust.app.clients import producer_options
from faust.cli.base import AppCommand, UsageError, argument, option
from faust.tables.base import Collection
from faust.tables.repartition import Repartition
from faust.topics.topic import Topic
from faust.transport.base import AdminDriver, ConsumerDriver, ProducerDriver

__all__ = ["repartition"]


class repartition(AppCommand):  # noqa: N801 - the documented name
    """Give the changelog of TABLE another number of partitions, and rebuild what follows from it.

    With --rewrite the number may stay, and the changelog is written anew: so a table of sets gets the format that the setting
    table_set_changelog_format says.

    Grow the topics that the agents read first, and stop all workers of the app. Killed at any point, run it again: no worker
    starts with the table before it is finished.
    """

    options: ClassVar[Any] = [
        argument("table"),
        option(
            "--partitions",
            "-p",
            type=click.IntRange(1),
            help="How many.  [default: as many as the topics that the agents read]",
        ),
        option(
            "--rewrite", is_flag=True, help="Write the changelog anew, also if the number stays."
        ),
    ]

    async def run(self, *, table: str, partitions: int | None, rewrite: bool) -> None:
        """Move the changelog of the table, and those that are kept beside it."""
        found = self._find(table)
        async with self._clients() as (admin, reader, producer):
            count = partitions or found.partitions or await self._count_of_sources(admin)
            if found.partitions not in {None, count}:
                raise UsageError(
                    f"table {table!r} is declared with partitions={found.partitions}; declare it with {count} first"
                )
            for each in (found, *found.companions):
                marks = each is found.closed_marks
                await self._move(each, count, admin, reader, producer, marks=marks, rewrite=rewrite)

    async def _move(
        self,
        table: Collection[Any, Any],
        count: int,
        admin: AdminDriver,
        reader: ConsumerDriver,
        producer: ProducerDriver,
        *,
        marks: bool,
        rewrite: bool,
    ) -> None:
        def place(key: Any, raw: bytes, among: int) -> int:
            topic = table.changelog_topic_name
            if table.use_partitioner:
                return int(self.app.producer.partition_for(topic, raw, range(among)))
            return int(self.app.router.partition_of(table, key, among))

        work = Repartition(
            table,
            count,
            group_id=self.app.conf.id,
            place=place,
            rewrite=rewrite,
            marks=marks,
            admin=admin,
            reader=reader,
            producer=producer,
        )
        with self.progress(f"repartitioning {table.name}", await work.whole()) as progress:
            work.on_progress = progress.advance
            moved = await work.run()
        if moved is None:
            self.say(f"{work.topic}: has {count} partitions already")
            return
        await table.reset_state()
        self.say(f"{work.topic}: {count} partitions, {moved} records")

    def _find(self, name: str) -> Collection[Any, Any]:
        tables = self.app.tables
        if name not in tables:
            raise UsageError(f"no table {name!r}; there are: {', '.join(sorted(tables)) or 'none'}")
        return tables[name]

    async def _count_of_sources(self, admin: AdminDriver) -> int:
        names = {name for topic in self.app.topics if topic.acks for name in topic.topics}
        described = await admin.describe_topics(sorted(names))
        counts = {name: len(found.partitions) for name, found in described.items() if found}
        if len(set(counts.values())) == 1:
            return next(iter(counts.values()))
        listed = ", ".join(f"{name}: {count}" for name, count in sorted(counts.items()))
        raise UsageError(
            f"say --partitions: the topics that the agents read do not tell how many ({listed or 'none exists'})"
        )

    @asynccontextmanager
    async def _clients(self) -> AsyncIterator[tuple[AdminDriver, ConsumerDriver, ProducerDriver]]:
        app = self.app
        app.prepare()
        for agent in app.agents.values():  # what is read says how keys are placed
            if isinstance(agent.channel, Topic):
                app.topics.add(agent.channel)
        admin = await app._started_admin()
        reader = app.reader_driver()
        producer = app.producer_transport.producer(producer_options(app.conf))
        try:
            await reader.start()
            await producer.start()
            yield admin, reader, producer
        finally:
            await producer.close()
            await reader.close()
