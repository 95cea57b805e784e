"""Types of what divides partitions among workers; names only."""

from __future__ import annotations

from faust.assignor.leader_assignor import LeaderAssignor as LeaderAssignorT
from faust.assignor.partition_assignor import PartitionAssignor as PartitionAssignorT

__all__ = ["LeaderAssignorT", "PartitionAssignorT"]
