"""The admin client of ``kafka://``: topics, records and groups.

Requests go out through the driver's own connection rather than `aiokafka.admin.AIOKafkaAdminClient`, which answers
with raw structures and retries nothing. This is the application's side; see `operations` for what is done.
"""

from __future__ import annotations

import asyncio
import logging
import random
import re
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from faust.exceptions import (
    BrokerError,
    ImproperlyConfigured,
)
from faust.messages import TP
from faust.transport.base import (
    AdminDriver,
    DriverState,
    GroupDescription,
    TopicDescription,
    TopicOutcome,
    TopicSpec,
)
from faust.transport.drivers.aiokafka.client import KafkaClient
from faust.transport.drivers.aiokafka.credentials import client_security
from faust.transport.drivers.aiokafka.operations import Operations
from faust.transport.drivers.aiokafka.thread import ClientThread

__all__ = ["Admin"]

logger: logging.Logger = logging.getLogger(__name__)

T = TypeVar("T")

_NAME = re.compile(r"[a-zA-Z0-9._-]{1,249}")


class Admin(AdminDriver):
    """See `AdminDriver`.

    Arguments:
        servers: ``host:port`` of the bootstrap servers.
        thread: Where the client lives.
        client_id: Name in the broker's logs and quotas.
        request_timeout: Seconds after which an operation gives up.
        credentials: See `credentials.client_security`.
    """

    def __init__(
        self,
        servers: list[str],
        thread: ClientThread,
        *,
        client_id: str,
        request_timeout: float,
        credentials: Any,
    ) -> None:
        self.state: DriverState = DriverState()
        self._servers = servers
        self._thread = thread
        self._client_id = client_id
        self._timeout = request_timeout
        self._credentials = credentials
        self._work: Operations | None = None

    async def start(self) -> None:
        """Connect; raises `BrokerUnavailable` after the request timeout, `AuthenticationFailed` at once."""
        if self._work is None:
            self._thread.hold()
            try:
                self._work = await self._thread.call(self._connect())
            except BaseException:
                self._thread.release()
                raise

    async def _connect(self) -> Operations:
        """Client thread."""
        client = Operations(self._timeout)
        client.connection = KafkaClient(
            self._servers,
            state=self.state,
            name=f"admin {self._client_id}",
            refused=client.note_refusal,
            client_id=self._client_id,
            request_timeout_ms=round(self._timeout * 1000),
            retry_backoff_ms=random.randint(80, 120),
            **client_security(self._credentials),
        )
        try:
            await client.connection.connect(self._timeout)
        except BaseException:
            await client.connection.close()
            raise
        return client

    async def close(self) -> None:
        """End."""
        work, self._work = self._work, None
        if work is not None:
            try:
                async with asyncio.timeout(5.0):
                    await self._thread.call(work.connection.close())
            except TimeoutError:
                logger.warning("the Kafka admin client did not end in 5 s")
            finally:
                self._thread.release()
                self.state.connected = False

    async def _do(self, method: Callable[..., Coroutine[Any, Any, T]], *arguments: Any) -> T:
        if self._work is None:
            raise BrokerError("the admin client is not started")
        return await self._thread.call(method(self._work, *arguments))

    async def create_topics(self, specs: Sequence[TopicSpec]) -> dict[str, TopicOutcome]:
        """Create what is missing; say what differs of what is there."""
        for spec in specs:
            if _NAME.fullmatch(spec.name) is None or spec.name in {".", ".."}:
                raise ImproperlyConfigured(
                    f"topic name {spec.name!r}: expected 1 to 249 letters, digits, dots, underscores and hyphens"
                )
            if spec.partitions < 1:
                raise ImproperlyConfigured(
                    f"topic {spec.name}: {spec.partitions} partitions, expected at least 1"
                )
        return await self._do(Operations.create_topics, list(specs)) if specs else {}

    async def list_topics(self) -> list[str]:
        """Return the names of all topics, sorted; internal ones left out."""
        return await self._do(Operations.list_topics)

    async def describe_topics(self, names: Collection[str]) -> dict[str, TopicDescription | None]:
        """Describe topics; their ``config`` holds what is set on the topic, not the broker's defaults."""
        return await self._do(Operations.describe_topics, list(names)) if names else {}

    async def delete_topics(self, names: Collection[str]) -> None:
        """Delete topics with their records."""
        if names:
            await self._do(Operations.delete_topics, list(names))

    async def delete_records(self, before: Mapping[TP, int]) -> None:
        """Move the log start forward."""
        if before:
            await self._do(Operations.delete_records, dict(before))

    async def offsets(self, tps: Collection[TP]) -> dict[TP, tuple[int, int]]:
        """Return log start and next offset of partitions."""
        return await self._do(Operations.offsets, [TP(*tp) for tp in tps]) if tps else {}

    async def list_groups(self) -> list[str]:
        """Return the names of all consumer groups, sorted."""
        return await self._do(Operations.list_groups)

    async def describe_group(self, group_id: str) -> GroupDescription:
        """Describe one group; one that nobody knows is ``Dead``."""
        return await self._do(Operations.describe_group, group_id)
