"""The changelog topics of the tables: created when they are missing, and looked at before they are used.

A new changelog gets as many partitions as the topics that the agents read, so that the partitions of a table go with
those of its events. One that is half there, since a repartition was broken off, is refused.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

from faust.exceptions import AuthorizationFailed, BrokerError, ImproperlyConfigured
from faust.ports import AppT
from faust.tables.base import Collection
from faust.tables.cures import (
    OTHER_COUNT,
    missing_right,
    repartition_topic,
    unfinished_repartition,
)
from faust.tables.reading import retried
from faust.transport.cures import cure_of, is_fault

__all__ = ["ChangelogTopics"]

logger: logging.Logger = logging.getLogger(__name__)


class ChangelogTopics:
    """The topics behind the tables of *app*.

    Attributes:
        counts: Partitions of every topic that was asked for.
    """

    def __init__(self, app: AppT) -> None:
        self.app = app
        self.counts: dict[str, int] = {}

    async def declare(self, tables: Sequence[Collection[Any, Any]]) -> None:
        """Create the changelog topics that are missing; learn how many partitions each has.

        Raises:
            ImproperlyConfigured: A changelog topic does not exist and may not be created, or belongs to two tables.
            BrokerError: As raised by the admin client.
        """
        owners = {table.changelog_topic_name: table for table in tables}
        for table in tables:
            topic = table.changelog_topic_name
            if owners[topic] is not table:
                raise ImproperlyConfigured(
                    f"the tables {table.name!r} and {owners[topic].name!r} have the same changelog topic {topic}"
                )
            await self._declare(table)

    async def _declare(self, table: Collection[Any, Any]) -> None:
        topic = table.changelog_topic_name
        await self._refuse_unfinished(table)
        wanted = table.partitions or await self.count(topic) or await self._wanted_partitions(table)
        try:
            outcome = await table.declare(wanted)
        except AuthorizationFailed as exc:
            if await self.count(topic) is None:
                raise AuthorizationFailed(missing_right(table.name, topic, wanted, exc)) from exc
            logger.warning(
                "Table %r: this worker may not look whether its changelog topic %s is as it should be: %s",
                table.name,
                topic,
                exc,
            )
            outcome = None
        for difference in () if outcome is None else filter(is_fault, outcome.differences):
            logger.warning(
                "Table %r: its changelog topic %s is not as declared: %s. %s",
                table.name,
                topic,
                difference,
                cure_of(topic, difference, self.app.conf.broker, other_count=OTHER_COUNT),
            )
        if table.use_partitioner:
            await self.app.producer.load_partitions(topic)
        if await self.count(topic) is None and not self.app.conf.topic_allow_declare:
            raise ImproperlyConfigured(
                f"table {table.name!r}: its changelog topic {topic} does not exist, and the setting "
                f"topic_allow_declare is off. Create it with cleanup.policy=compact and {wanted} partitions, or "
                "allow the worker to"
            )

    async def _refuse_unfinished(self, table: Collection[Any, Any]) -> None:
        """Do not start while the changelog may be half there."""
        topic = table.changelog_topic_name
        beside = repartition_topic(topic)
        try:
            there = await self._ask_count(beside)
        except (
            AuthorizationFailed
        ):  # who may use this app's topics only is told so of every other name
            there = None
        if there:
            raise ImproperlyConfigured(unfinished_repartition(self.app.conf.id, table.name, topic))

    async def _wanted_partitions(self, table: Collection[Any, Any]) -> int:
        """Choose the number of partitions of a new changelog: that of the topics that the agents read."""
        await asyncio.sleep(
            0
        )  # agents that were started just now may still have topics to announce
        counts: dict[str, int] = {}
        for topic in self.app.topics:
            if topic.acks:
                for name in topic.topics:
                    count = await self.count(name) or topic.partitions or await self._created(name)
                    if count:
                        counts[name] = count
        different = set(counts.values())
        if len(different) == 1:
            return different.pop()
        default: int = self.app.conf.topic_partitions
        if different:
            logger.info(
                "Table %r: the topics that the agents read differ in their number of partitions (%s); its changelog "
                "gets %d (setting topic_partitions). Say partitions= if another number is right",
                table.name,
                ", ".join(f"{name}: {count}" for name, count in sorted(counts.items())),
                default,
            )
        return default

    async def count(self, topic: str) -> int | None:
        """Ask how many partitions *topic* has, and remember it."""
        count = await self._ask_count(topic)
        if count:
            self.counts[topic] = count
        return count

    async def _ask_count(self, topic: str) -> int | None:
        numbers = await retried(
            f"ask for the partitions of {topic}",
            partial(self.app.consumer.driver.partitions_for, topic),
            self.app.conf.broker_request_timeout,
        )
        return len(numbers) if numbers else None

    async def _created(self, topic: str) -> int | None:
        """Have the broker create *topic* now, if it is one that does so when a topic is first asked for.

        Otherwise the first message would, when it is too late for a changelog that should have the same count.
        """
        try:
            async with asyncio.timeout(self.app.conf.broker_request_timeout):
                return len(await self.app.producer.load_partitions(topic))
        except (TimeoutError, BrokerError) as exc:
            logger.info("The topic %s, which agents read, is not there yet: %s", topic, exc)
            return None
