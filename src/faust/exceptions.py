"""One tree of errors, split by who must act.

::

    FaustError
     +-- FaustPredicate                  control flow, never shown to users
     |    +-- Skip                       a processor drops the event
     |    +-- SameNode                   the router: the key lives here
     |    +-- NotReady
     |         +-- ConsumerNotStarted
     +-- ImproperlyConfigured            the author of the program must act
     +-- PartitionsMismatch
     +-- ValidationError (ValueError)    the sender of the data must act
     +-- DecodeError
     |    +-- KeyDecodeError
     |    +-- ValueDecodeError
     +-- SecurityError
     +-- ProducerSendError               a record was not accepted
     |    +-- NotAcknowledged          not in time: it may be there, or not
     |    +-- RecordTooLarge
     +-- ReplyLost                       nobody will answer a question any more
     +-- GivenUp                         the event in hand is not ours any more; it will come again
     +-- TransactionTimeout              an event takes longer than a transaction may
     +-- ConsistencyError                local state is ahead of its changelog
     +-- Stalled                         nothing has moved for too long, and the worker was told to end then
     +-- StoreError                      the local files of a table cannot be used
     +-- BrokerError                     the operator must act
          +-- BrokerUnavailable          could not be reached in time
          +-- AuthenticationFailed       refused: never retried
          +-- AuthorizationFailed        refused: never retried
          +-- UnknownTopic
          +-- OffsetOutOfRange
          +-- CommitRefused              the group moved on: the generation is old
          +-- ProducerFenced             a newer producer has this transactional id
          +-- StorageError               the embedded broker's directory is unusable
    FaustWarning (UserWarning)
     +-- AlreadyConfiguredWarning
     +-- SecurityWarning
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "AlreadyConfiguredWarning",
    "AuthenticationFailed",
    "AuthorizationFailed",
    "BrokerError",
    "BrokerUnavailable",
    "CommitRefused",
    "ConsistencyError",
    "ConsumerNotStarted",
    "DecodeError",
    "FaustError",
    "FaustPredicate",
    "FaustWarning",
    "GivenUp",
    "ImproperlyConfigured",
    "KeyDecodeError",
    "NotAcknowledged",
    "NotReady",
    "OffsetOutOfRange",
    "PartitionsMismatch",
    "ProducerFenced",
    "ProducerSendError",
    "RecordTooLarge",
    "ReplyLost",
    "SameNode",
    "SecurityError",
    "SecurityWarning",
    "Skip",
    "Stalled",
    "StorageError",
    "StoreError",
    "TransactionTimeout",
    "UnknownTopic",
    "ValidationError",
    "ValueDecodeError",
]


class FaustError(Exception):
    """Root of every error raised by this library."""


class FaustWarning(UserWarning):
    """Root of every warning issued by this library."""


class FaustPredicate(FaustError):
    """Root of exceptions that are used for control flow."""


class Skip(FaustPredicate):
    """Raised by a stream processor to drop the event and acknowledge it."""


class SameNode(FaustPredicate):
    """Raised by the router when the wanted key lives on this very worker."""


class NotReady(FaustPredicate):
    """A service is used before it has started."""


class ConsumerNotStarted(NotReady):
    """The consumer is used before it has started."""


class ImproperlyConfigured(FaustError):
    """The program or its environment is configured in a way that cannot work."""


class AlreadyConfiguredWarning(FaustWarning):
    """A setting was changed after it had been read."""


class SecurityWarning(FaustWarning):
    """Something is used that is unsafe with untrusted data."""


class ValidationError(FaustError, ValueError):
    """A value does not fit the model that should hold it.

    Attributes:
        reason: What is wrong.
        field: Descriptor of the field, when known.
        topic: Topic of the message the model came in, when it came in one.
        partition: Its partition.
        offset: Its offset.
        type: The type the message was to be read as.
        payload: The first 200 bytes of the key or value.
        field_path: Where the value stands, seen from the outermost model: ``items[3].price``; empty: not known.
    """

    topic: str | None = None
    partition: int | None = None
    offset: int | None = None
    type: Any = None
    payload: bytes | None = None

    def __init__(self, reason: str = "", *, field: Any = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.field = field
        self.field_path: str = getattr(field, "field", None) or ""

    def __str__(self) -> str:
        if self.field is None:
            return self.reason
        inner = self.field_path != self.field.field
        return f"{self.field_path + ': ' if inner else ''}{self.reason} {self.field!r}"


class DecodeError(FaustError):
    """Bytes from a topic could not be turned into a value.

    Attributes:
        topic: Topic of the message, when known.
        partition: Its partition.
        offset: Its offset.
        type: The type they were to be read as; None: whatever the codec gives.
        payload: The first 200 bytes that could not be decoded.
        field_path: Where in the message the fault is: ``items[3].price``; empty: not known, or everywhere.
    """

    part = "message"

    def __init__(
        self,
        reason: str = "",
        *,
        topic: str | None = None,
        partition: int | None = None,
        offset: int | None = None,
        type: Any = None,
        payload: bytes | None = None,
        field_path: str = "",
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.type = type
        self.field_path = field_path
        self.topic = topic
        self.partition = partition
        self.offset = offset
        self.payload: bytes | None = payload[:200] if payload is not None else None

    def __str__(self) -> str:
        where = (
            f" of {self.topic}[{self.partition}] offset {self.offset}"
            if self.topic is not None
            else ""
        )
        what = f"; first bytes: {self.payload!r}" if self.payload is not None else ""
        return f"cannot decode {self.part}{where}: {self.reason}{what}"


class KeyDecodeError(DecodeError):
    """The key of a message could not be decoded."""

    part = "key"


class ValueDecodeError(DecodeError):
    """The value of a message could not be decoded."""

    part = "value"


class SecurityError(FaustError):
    """A guarded operation was attempted on a tagged value."""


class PartitionsMismatch(FaustError):
    """Topics that must be co-partitioned have different numbers of partitions."""


class ConsistencyError(FaustError):
    """Local table state is ahead of its changelog topic."""


class ReplyLost(FaustError):
    """An answer will not come: the app that asked for it has stopped."""


class GivenUp(FaustError):
    """Exactly once: the event in hand was given up, and nothing more of it counts; it will be processed again."""


class TransactionTimeout(FaustError):
    """Exactly once: an event takes longer than setting ``broker_transaction_timeout`` allows, time and again."""


class ProducerSendError(FaustError):
    """A record was not accepted by the broker."""


class NotAcknowledged(ProducerSendError):
    """No broker has acknowledged a record in time (setting ``producer_request_timeout``): it may be there, or not."""


class RecordTooLarge(ProducerSendError):
    """A record is larger than the broker or the settings allow."""


class Stalled(FaustError):
    """Nothing has moved for longer than setting ``health_exit_timeout`` allows."""


class StoreError(FaustError):
    """The local files of a table cannot be used: locked by another process, damaged, or not writable."""


class BrokerError(FaustError):
    """The broker, or the way to it, is at fault."""


class BrokerUnavailable(BrokerError):
    """The broker could not be reached within the time allowed."""


class AuthenticationFailed(BrokerError):
    """The broker refused the credentials."""


class AuthorizationFailed(BrokerError):
    """The broker refused the operation to this user."""


class UnknownTopic(BrokerError):
    """The topic or partition does not exist."""


class OffsetOutOfRange(BrokerError):
    """The wanted offset is not in the log, and the reset policy is ``none``."""


class CommitRefused(BrokerError):
    """The group has moved on: this member or generation may no longer commit."""


class ProducerFenced(BrokerError):
    """Another producer has taken over this transactional id."""


class StorageError(BrokerError):
    """The data directory of the embedded broker cannot be used."""
