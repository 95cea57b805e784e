"""Changing sets from anywhere: an agent on the worker that owns the key does it.

``await table.manager.add(key, member)`` sends an operation to the topic ``{table}-setmanager``, keyed like the table; the agent
that reads it applies the operation within its stream. The topic is created with the table's number of partitions.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from faust.messages import TP
from faust.models.record import Record
from faust.utils import json

__all__ = ["SetManagerOperation", "SetTableManager"]

logger: logging.Logger = logging.getLogger(__name__)


class SetManagerOperation(Record, namespace="@SetManagerOperation", serializer="json"):
    """What is to be done to a set.

    Attributes:
        action: ADD, DISCARD, CLEAR, INTERSECTION, SYMDIFF or UPDATE.
        members: With which members.
    """

    action: str
    members: list[Any]


_METHODS = {
    "ADD": "update",
    "UPDATE": "update",
    "DISCARD": "difference_update",
    "INTERSECTION": "intersection_update",
    "SYMDIFF": "symmetric_difference_update",
}


class SetTableManager:
    """Sends operations on the sets of *table*, and applies those that come (with ``start_manager=True``)."""

    def __init__(self, table: Any) -> None:
        self.table = table
        self.enabled: bool = False
        self.topic: Any = None

    def start(self) -> None:
        """Declare the topic and the agent."""
        table = self.table
        self.topic = table.app.topic(
            table.manager_topic_name,
            key_type=str,
            value_type=SetManagerOperation,
            partitions=table.partitions,
            internal=True,
        )
        self.agent: Any = table.app.agent(self.topic, name=f"faust.SetTable.manager.{table.name}")(
            self._apply_operations
        )
        self.enabled = True

    async def add(self, key: Any, member: Any) -> None:
        """Add a member to the set of *key*."""
        await self._send(key, "ADD", [member])

    async def discard(self, key: Any, member: Any) -> None:
        """Remove a member from the set of *key*."""
        await self._send(key, "DISCARD", [member])

    async def clear(self, key: Any) -> None:
        """Empty the set of *key*."""
        await self._send(key, "CLEAR", [])

    async def update(self, key: Any, members: Iterable[Any]) -> None:
        """Add *members* to the set of *key*."""
        await self._send(key, "ADD", members)

    async def difference_update(self, key: Any, members: Iterable[Any]) -> None:
        """Remove *members* from the set of *key*."""
        await self._send(key, "DISCARD", members)

    async def intersection_update(self, key: Any, members: Iterable[Any]) -> None:
        """Keep only *members* in the set of *key*."""
        await self._send(key, "INTERSECTION", members)

    async def symmetric_difference_update(self, key: Any, members: Iterable[Any]) -> None:
        """Remove those of *members* that are in the set of *key*, and add the others."""
        await self._send(key, "SYMDIFF", members)

    async def _send(self, key: Any, action: str, members: Iterable[Any]) -> None:
        if not self.enabled:
            raise RuntimeError(
                f"table {self.table.name!r} has no manager: declare it with start_manager=True"
            )
        operation = SetManagerOperation(action=action, members=list(members))
        await self.topic.send(key=key, value=operation)

    async def _apply_operations(self, stream: Any) -> None:
        async for key, operation in stream.items():
            self._apply(key, operation)

    def _apply(self, key: Any, operation: SetManagerOperation) -> None:
        found = self.table[key]
        if operation.action == "CLEAR":
            found.clear()
            return
        method = _METHODS.get(operation.action)
        if method is None:
            logger.error(
                "Table %r: the manager does not know the action %r for key %r; it is left out",
                self.table.name,
                operation.action,
                key,
            )
            return
        tp = self.table.changelog_topic_name
        members = [_as_member(self.table, tp, member) for member in operation.members]
        getattr(found, method)(members)


def _as_member(table: Any, topic: str, member: Any) -> Any:
    """Make of what came as JSON what the table has for it."""
    return table.codec.decode_member(TP(topic, -1), json.dumps(member))
