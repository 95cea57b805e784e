"""From aiokafka's errors to ours, saying who must act.

Three kinds of failure matter to the driver. *Refused* ones (credentials, permissions) are reported at once and never
retried. *Passing* ones (connection lost, leader or coordinator moved, replicas missing) are retried for ever. What
is left is a fault of the request itself, and belongs to whoever made it.

aiokafka 0.14 knows Kafka's error codes up to 72 and 79; a code it does not know becomes ``UnknownError``, which it
never retries. The codes that a broker may answer today and that a later attempt cures are added to its table here.
"""

from __future__ import annotations

import asyncio
import re
import ssl

from aiokafka import errors as kafka

from faust.exceptions import (
    AuthenticationFailed,
    AuthorizationFailed,
    BrokerError,
    BrokerUnavailable,
    CommitRefused,
    FaustError,
    ImproperlyConfigured,
    NotAcknowledged,
    OffsetOutOfRange,
    ProducerFenced,
    ProducerSendError,
    RecordTooLarge,
    UnknownTopic,
)

__all__ = [
    "FENCED_INSTANCE_ID",
    "UNSTABLE_OFFSET_COMMIT",
    "is_generation_error",
    "is_passing",
    "is_refusal",
    "translate",
    "translate_send",
]

FENCED_INSTANCE_ID = 82
UNSTABLE_OFFSET_COMMIT = 88


class _Code(kafka.BrokerResponseError):  # type: ignore[misc]  # aiokafka is untyped
    """A code that aiokafka does not know yet."""

    errno = 0
    message = ""


class _LaterCode(_Code):
    """One that passes by itself."""

    retriable = True


class _MetadataCode(_LaterCode):
    """One that passes when the client has looked again who leads the partition."""

    invalid_metadata = True


_MISSING = {
    74: ("FENCED_LEADER_EPOCH", _MetadataCode),
    75: ("UNKNOWN_LEADER_EPOCH", _MetadataCode),
    76: ("UNSUPPORTED_COMPRESSION_TYPE", _Code),
    78: ("OFFSET_NOT_AVAILABLE", _LaterCode),
    81: ("GROUP_MAX_SIZE_REACHED", _Code),
    FENCED_INSTANCE_ID: ("FENCED_INSTANCE_ID", _Code),
    83: ("ELIGIBLE_LEADERS_NOT_AVAILABLE", _MetadataCode),
    87: ("INVALID_RECORD", _Code),
    UNSTABLE_OFFSET_COMMIT: ("UNSTABLE_OFFSET_COMMIT", _LaterCode),
    89: ("THROTTLING_QUOTA_EXCEEDED", _LaterCode),
}

for _number, (_name, _base) in _MISSING.items():
    if _number not in kafka.kafka_errors:
        kafka.kafka_errors[_number] = type(_name, (_base,), {"errno": _number, "message": _name})

_AUTHENTICATION = (
    kafka.AuthenticationFailedError,
    kafka.AuthenticationMethodNotSupported,
    kafka.SaslAuthenticationFailed,
    kafka.UnsupportedSaslMechanismError,
    kafka.IllegalSaslStateError,
    ssl.SSLCertVerificationError,
)
_AUTHORIZATION = (
    kafka.TopicAuthorizationFailedError,
    kafka.GroupAuthorizationFailedError,
    kafka.ClusterAuthorizationFailedError,
    kafka.TransactionalIdAuthorizationFailed,
)
_FENCED = (
    kafka.ProducerFenced,
    kafka.InvalidProducerEpoch,
    kafka.InvalidProducerIdMapping,
    kafka.InvalidTxnState,
)
_GENERATION = (
    kafka.CommitFailedError,
    kafka.IllegalGenerationError,
    kafka.UnknownMemberIdError,
    kafka.RebalanceInProgressError,
)
_TOO_LARGE = (kafka.MessageSizeTooLargeError, kafka.RecordListTooLargeError)
_CONFIGURATION = (
    kafka.InconsistentGroupProtocolError,
    kafka.InvalidSessionTimeoutError,
    kafka.InvalidGroupIdError,
    kafka.InvalidTransactionTimeout,
    kafka.IncompatibleBrokerVersion,
    kafka.UnsupportedCodecError,
)
_HINTS: dict[type[BaseException], str] = {
    kafka.InconsistentGroupProtocolError: (
        "the members of this group use different assignors: give the application another id, or stop the others"
    ),
    kafka.InvalidSessionTimeoutError: (
        "the broker allows other session timeouts (group.min.session.timeout.ms, group.max.session.timeout.ms): "
        "change broker_session_timeout"
    ),
    kafka.UnsupportedCodecError: "pip install cramjam (snappy, lz4, zstd)",
    kafka.InvalidTransactionTimeout: (
        "the broker allows shorter transactions only (transaction.max.timeout.ms): shorten the transaction timeout"
    ),
}


_REFUSING_ALERT = re.compile("CERTIFICATE|UNKNOWN_CA|ACCESS_DENIED|HANDSHAKE_FAILURE")
"""Alerts by which a TLS server refuses the client or its certificate (RFC 8446, section 6.2)."""


def _refusing_alert(error: BaseException) -> ssl.SSLError | None:
    """Return the alert of the broker that has closed the connection, when it refuses our certificate.

    TLS 1.3 tells the client of that after its side of the handshake, so that aiokafka sees a lost connection.
    """
    for each in (error, error.__cause__):
        if isinstance(each, ssl.SSLError) and "ALERT" in (each.reason or ""):
            return each if _REFUSING_ALERT.search(each.reason) else None
    return None


def is_refusal(error: BaseException) -> bool:
    """Say whether the broker refused credentials or permission: an error at once, never a retry (C14)."""
    known = isinstance(error, (*_AUTHENTICATION, *_AUTHORIZATION))
    return known or _refusing_alert(error) is not None


def is_generation_error(error: BaseException) -> bool:
    """Say whether the group has moved on without this member or generation."""
    return isinstance(error, _GENERATION)


def is_passing(error: BaseException) -> bool:
    """Say whether a later attempt may succeed without anybody acting (C13)."""
    if is_refusal(error):
        return False
    if isinstance(error, kafka.KafkaError):
        return bool(error.retriable) or isinstance(error, kafka.KafkaTimeoutError)
    return isinstance(error, (OSError, asyncio.TimeoutError))


def translate(error: BaseException, where: str) -> FaustError:
    """Return our error for *error* of the client.

    Arguments:
        error: What aiokafka, or the network, raised. Our own errors are returned as they are.
        where: What was being done, naming topic, partition, group or server; begins the message.
    """
    if isinstance(error, FaustError):
        return error
    error, ended_sender = _root(error), error
    alert = _refusing_alert(error)
    reason = _reason(alert or error)
    kind: type[FaustError] = BrokerError
    if alert is not None or isinstance(error, _AUTHENTICATION):
        kind = AuthenticationFailed
        reason += "; check broker_credentials (mechanism, user name, password, certificates)"
    elif isinstance(error, _AUTHORIZATION):
        kind = AuthorizationFailed
        reason += "; give this user the permission (ACL) on the broker"
    elif isinstance(error, _FENCED):
        kind = ProducerFenced
    elif isinstance(error, _GENERATION):
        kind = CommitRefused
        reason = f"the group has moved on ({reason})"
    elif isinstance(error, (kafka.OffsetOutOfRangeError, kafka.NoOffsetForPartitionError)):
        kind = OffsetOutOfRange
    elif isinstance(error, kafka.UnknownTopicOrPartitionError):
        kind = UnknownTopic
        reason = "the broker does not know the topic or partition"
    elif isinstance(error, _CONFIGURATION):
        kind = ImproperlyConfigured
    elif is_passing(error) or (ended_sender is not error and isinstance(error, kafka.UnknownError)):
        kind = BrokerUnavailable
    return kind(f"{where}: {reason}")


def _root(error: BaseException) -> BaseException:
    """Return what has ended aiokafka's sender; what it raises itself has no name, and that as its cause."""
    while type(error) is kafka.KafkaError and error.__cause__ is not None:
        error = error.__cause__
    return error


def translate_send(
    error: BaseException, topic: str, partition: int, *, records: int, size: int
) -> FaustError:
    """Return our error for a batch that was not accepted, naming the partition and the batch's size in bytes."""
    where = f"cannot write {records} record(s), {size} bytes, to {topic}[{partition}]"
    if isinstance(error, _TOO_LARGE):
        return RecordTooLarge(
            f"{where}: larger than the broker allows; raise the topic's max.message.bytes "
            "or lower producer_max_batch_size"
        )
    translated = translate(error, where)
    if isinstance(translated, BrokerUnavailable):
        return NotAcknowledged(str(translated))
    if type(translated) is BrokerError:
        return ProducerSendError(str(translated))
    return translated


def translate_transaction(error: BaseException, where: str) -> FaustError:
    """Return our error for a step of a transaction that has failed.

    A coordinator that is just dying answers UNKNOWN_SERVER_ERROR (-1). What became of the step is not known then, as with a
    lost connection; the next producer of the id finds out.
    """
    if isinstance(error, kafka.UnknownError):
        return BrokerUnavailable(f"{where}: the coordinator has failed ({_reason(error)})")
    return translate(error, where)


def _reason(error: BaseException) -> str:
    description = getattr(error, "description", "")
    text = str(error) or type(error).__name__
    if description and description not in text:
        text = f"{text}: {description}"
    hint = _HINTS.get(type(error))
    return f"{text}; {hint}" if hint else text
