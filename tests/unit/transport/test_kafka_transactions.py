"""Our additions to aiokafka's transaction manager."""

from __future__ import annotations

from aiokafka import errors as kafka
from aiokafka.structs import TopicPartition

from faust.transport.drivers.aiokafka.batches import Transactions

TP = TopicPartition("orders", 0)


async def test_a_partition_may_be_given_up_while_the_coordinator_is_asked_for_it() -> None:
    """Its topic was deleted, or the transaction has failed: the coordinator has added it all the same, and an abort tells it so."""
    for failed in (False, True):
        manager = Transactions("id", 60_000)
        manager.set_pid_and_epoch(1, 0)
        manager.begin_transaction()
        manager.maybe_add_partition_to_txn(TP)
        if failed:
            manager.error_transaction(kafka.CommitFailedError())
        else:
            manager.forget_partition(TP)
        manager.partition_added(TP)
        assert manager.partitions_to_add() == set()
        assert manager._txn_partitions == {TP}
