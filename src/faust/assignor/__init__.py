"""Who gets which partition, and who leads; this is a face."""

from __future__ import annotations

from faust.assignor.leader_assignor import LeaderAssignor as LeaderAssignor
from faust.assignor.partition_assignor import PartitionAssignor as PartitionAssignor

__all__ = ["LeaderAssignor", "PartitionAssignor"]
