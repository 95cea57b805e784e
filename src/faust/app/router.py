"""The router: which worker of the app has a key.

The leader of the group tells every member who owns which partition (`faust.assignor`), so finding the owner of a key is
arithmetic: bytes of the key, partition, URL. What has to be right are the bytes. A key lives in the partition of the
*event* that wrote it, and that was chosen by the key's bytes in the topic that the agents read, not by those in the
changelog: ``key_type=str`` means plain text there and JSON here, and the two hash differently. So a table's key is
encoded as in the topic that is co-partitioned with the table; when there is none, or several that disagree, texts and
bytes are taken as they are, and everything else as in the changelog. Tables with ``use_partitioner`` place their keys
themselves, by the changelog's bytes.
"""

from __future__ import annotations

from typing import Any

from yarl import URL

from faust.exceptions import SameNode
from faust.messages import TP
from faust.tables.base import Collection
from faust.topics.topic import Topic

__all__ = ["Router"]

Distribution = dict[str, dict[str, list[int]]]


class Router:
    """Finds the worker that has a key (``app.router``; its class is setting ``Router``).

    What it knows is as old as the last rebalance.

    Arguments:
        app: The application.
    """

    def __init__(self, app: Any) -> None:
        self.app = app

    def __repr__(self) -> str:
        return f"<Router of {self.app.conf.id}>"

    # -- keys

    def key_store(self, table_name: str, key: Any) -> URL:
        """Return the URL of the worker that has *key* of a table; of a global table that is this one.

        Raises:
            KeyError: There is no such table, or nobody is known to own the key's partition (before the first assignment,
                and while nobody has it).
            TypeError: *key* cannot be a key.
        """
        table = self._table(table_name)
        if table.is_global:
            return URL(self.app.assignor.canonical_url)
        return self._owner(table.changelog_topic_name, self._table_key(table, key))

    def external_topic_key_store(self, topic: str | Topic[Any, Any], key: Any) -> URL:
        """Return the URL of the worker that reads the partition of *topic* in which messages with *key* are.

        Arguments:
            topic: A topic that the agents read, or its name.
            key: A key as it is sent.

        Raises:
            KeyError: Nobody is known to read it.
            TypeError: *key* cannot be a key.
        """
        name = topic if isinstance(topic, str) else topic.get_topic_name()
        known = self._topics(name) if isinstance(topic, str) else [topic]
        return self._owner(name, _encoded_in(self.app, known[0] if known else None, key))

    topic_key_store = external_topic_key_store

    # -- requests

    async def route_req(self, table_name: str, key: Any, web: Any, request: Any) -> Any:
        """Answer a request by the worker that has *key* of a table.

        Arguments:
            table_name: Name of the table.
            key: The key.
            web: Our web server (``app.web``).
            request: The request.

        Raises:
            SameNode: That is this worker.
            KeyError, TypeError: As `key_store`.
            faust.web.exceptions.WebError: The worker cannot be reached, or the request has been sent on already.
        """
        return await self._send(self.key_store(table_name, key), web, request)

    async def route_topic_req(
        self, topic: str | Topic[Any, Any], key: Any, web: Any, request: Any
    ) -> Any:
        """Answer a request by the worker that reads *key* of a topic; as `route_req`."""
        return await self._send(self.external_topic_key_store(topic, key), web, request)

    async def _send(self, owner: URL, web: Any, request: Any) -> Any:
        here = self.app.conf.canonical_url
        if (owner.host, owner.port or 80) == (here.host, here.port or 80):
            raise SameNode
        return await web.forward(request, owner)

    def partition_of(self, table: Collection[Any, Any], key: Any, count: int) -> int:
        """Return the partition of *key*, if the table had *count* of them.

        Raises:
            TypeError: *key* cannot be a key.
        """
        raw = self._table_key(table, key)
        number: int = self.app.producer.partition_for(table.changelog_topic_name, raw, range(count))
        return number

    # -- maps

    def table_metadata(self, table_name: str) -> Distribution:
        """Return worker's URL -> changelog topic of the table -> partitions it is active for; of a global table all.

        Raises:
            KeyError: There is no such table.
        """
        topic = self._table(table_name).changelog_topic_name
        return {
            url: {topic: topics[topic]}
            for url, topics in self.tables_metadata().items()
            if topic in topics
        }

    def tables_metadata(self) -> Distribution:
        """Return worker's URL -> changelog topic -> partitions it is active for; of global tables all.

        The group divides no global tables: each of its workers reads them whole.
        """
        tables = self.app.tables
        everywhere = {
            topic: list(range(tables.counts[topic]))
            for topic in tables.global_topics
            if tables.counts.get(topic)
        }
        divided: Distribution = self.app.assignor.tables_metadata()
        return {url: {**topics, **everywhere} for url, topics in divided.items()}

    def external_topics_metadata(self) -> Distribution:
        """Return worker's URL -> topic that is no changelog -> partitions it reads."""
        found: Distribution = self.app.assignor.external_topics_metadata()
        return found

    # -- how

    def _table(self, name: str) -> Collection[Any, Any]:
        try:
            table: Collection[Any, Any] = self.app.tables[name]
        except KeyError:
            raise KeyError(f"there is no table {name!r} in {self.app.conf.id}") from None
        return table

    def _owner(self, topic: str, raw: bytes | None) -> URL:
        count = self._count(topic)
        if raw is None:
            raise TypeError(f"topic {topic}: None is no key, it may be anywhere")
        if not count:
            raise KeyError(f"nobody is known to have partitions of {topic}")
        number = self.app.producer.partition_for(topic, raw, range(count))
        try:
            return URL(self.app.assignor.owner_url(TP(topic, number)))
        except KeyError:
            raise KeyError(f"nobody is known to have {topic}[{number}]") from None

    def _count(self, topic: str) -> int:
        """Return how many partitions *topic* has: asked for at the last assignment, else the highest number that is owned."""
        count = self.app.tables.counts.get(topic)
        if count:
            return int(count)
        maps = (*self.tables_metadata().values(), *self.external_topics_metadata().values())
        return max((number + 1 for owned in maps for number in owned.get(topic, ())), default=0)

    def _topics(self, name: str) -> list[Any]:
        return [topic for topic in self.app.topics if topic.matches(name)]

    def _table_key(self, table: Collection[Any, Any], key: Any) -> bytes:
        """Return the bytes that have decided in which partition of *table* its key is."""
        if table.use_partitioner:
            return table.codec.encode_key(key)
        sources = {
            raw
            for topic in self._sources(table.changelog_topic_name)
            if (raw := self._as_in(topic, key)) is not None
        }
        if len(sources) == 1:
            return sources.pop()
        if isinstance(key, str | bytes):
            return key.encode() if isinstance(key, str) else key
        return table.codec.encode_key(key)

    def _as_in(self, topic: Any, key: Any) -> bytes | None:
        """Encode *key* as a message of *topic* has it; None: no message there can have it, the agent has made it."""
        try:
            return _encoded_in(self.app, topic, key)
        except (TypeError, ValueError):
            return None

    def _sources(self, changelog: str) -> list[Any]:
        """Return the topics that the agents read and that are divided among the workers as *changelog* is."""
        group = self._group(changelog)
        return [
            topic
            for topic in self.app.topics
            if topic.acks and any(self._group(name) == group for name in topic.topics)
        ]

    def _group(self, topic: str) -> int | None:
        try:
            number: int = self.app.assignor.group_for_topic(topic)
        except KeyError:
            return None
        return number


def _encoded_in(app: Any, topic: Any, key: Any) -> bytes | None:
    """Encode *key* as a message of *topic* has it; without a topic texts and bytes are taken as they are."""
    if topic is not None:
        raw: bytes | None = topic.schema.dumps_key(app, key, headers={})[0]
        return raw
    if isinstance(key, str | bytes):
        return key.encode() if isinstance(key, str) else key
    raise TypeError(
        f"a key of a topic that this app does not read must be str or bytes, got {key!r}"
    )
