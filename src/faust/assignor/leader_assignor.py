"""One topic with one partition: whoever is assigned it leads the app.

Leadership is nothing but a partition, so it moves exactly when partitions move, and needs no
protocol of its own. Two workers that cannot see each other may both believe in it for as long as a
session lasts; work that must not be done twice has to be made safe by other means.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection

from faust.messages import TP
from faust.transport.base import TopicSpec

__all__ = ["LeaderAssignor"]


class LeaderAssignor:
    """Knows the leader topic of an app, and who leads.

    Args:
        app_id: Id of the app; also the name of its consumer group.
        enabled: False when the app does without the topic; then nobody is the leader.

    Attributes:
        topic: Name of the leader topic.
        tp: Its only partition.
    """

    def __init__(self, app_id: str, *, enabled: bool = True) -> None:
        self.topic: str = f"{app_id}-__assignor-__leader"
        self.tp: TP = TP(self.topic, 0)
        self.enabled = enabled

    def __repr__(self) -> str:
        return f"<LeaderAssignor {self.topic}>"

    async def declare(
        self, create: Callable[[TopicSpec], Awaitable[object]], *, replication: int = 1
    ) -> None:
        """Have the topic created by *create*; nothing when disabled. What *create* raises is raised."""
        if self.enabled:
            await create(TopicSpec(name=self.topic, partitions=1, replication=replication))

    def is_leader(self, assignment: Collection[TP]) -> bool:
        """Say whether the worker that holds *assignment* leads."""
        return self.enabled and self.tp in assignment
