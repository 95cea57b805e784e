"""Are the topics still there, and still the same?

Kafka lets anybody delete a topic that others use. Then nothing is heard of it any more: a worker whose source is gone has nothing
to do and looks healthy; a table whose changelog was made anew goes on with a log that begins in the middle. So a worker asks now
and then which of its topics exist, and by their identities (KIP-516) whether its changelogs are the ones it has recovered from.
"""

from __future__ import annotations

from typing import Any

from faust.exceptions import AuthorizationFailed, ConsistencyError

__all__ = ["TopicLookout"]


class TopicLookout:
    """Asks the broker about the topics of an app.

    Arguments:
        app: The application.

    Attributes:
        missing: Topics that cannot be used, each with a sentence that says why.
    """

    def __init__(self, app: Any) -> None:
        self.app = app
        self.missing: dict[str, str] = {}
        self._identities: dict[str, str] = {}

    async def look(self, consumer: Any) -> None:
        """Ask about the subscribed topics and the changelogs.

        Raises:
            ConsistencyError: A changelog is another topic of the same name by now, perhaps since a rebalance that this caused.
        """
        wanted, changelogs = self.app.topics.subscription()[0], self.app.tables.changelog_topics
        if not wanted and not changelogs:
            return
        found = await consumer.topic_ids(sorted({*wanted, *changelogs}))
        self.missing = {
            topic: why
            for topic in sorted({*wanted, *changelogs} - found.keys())
            if (why := await self._why_missing(consumer, topic))
        }
        for topic in changelogs & found.keys():
            before = self._identities.setdefault(topic, found[topic])
            if before != found[topic]:
                raise ConsistencyError(
                    f"the changelog {topic} was deleted and made anew while this worker used it (its id was {before} and is "
                    f"{found[topic]}): what it had is no longer in it, and nothing more is committed"
                )

    @staticmethod
    async def _why_missing(consumer: Any, topic: str) -> str:
        """Return why *topic* cannot be used; empty when it can, on a broker that gives no identities."""
        try:
            if await consumer.driver.partitions_for(topic) is None:
                return f"{topic} does not exist (any more): create it again"
        except AuthorizationFailed as exc:
            return str(exc)
        return ""
