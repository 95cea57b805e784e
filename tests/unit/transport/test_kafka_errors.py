"""Errors and log lines of aiokafka, as the application sees them."""

from __future__ import annotations

import logging

import pytest
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
from faust.transport.drivers.aiokafka.errors import (
    FENCED_INSTANCE_ID,
    UNSTABLE_OFFSET_COMMIT,
    is_passing,
    is_refusal,
    translate,
    translate_send,
    translate_transaction,
)
from faust.transport.drivers.aiokafka.logs import Repeats


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (kafka.SaslAuthenticationFailed("no"), AuthenticationFailed),
        (kafka.UnsupportedSaslMechanismError("no"), AuthenticationFailed),
        (kafka.TopicAuthorizationFailedError("t"), AuthorizationFailed),
        (kafka.GroupAuthorizationFailedError("g"), AuthorizationFailed),
        (kafka.TransactionalIdAuthorizationFailed("x"), AuthorizationFailed),
        (kafka.ProducerFenced(), ProducerFenced),
        (kafka.InvalidProducerEpoch(), ProducerFenced),
        (kafka.CommitFailedError(), CommitRefused),
        (kafka.IllegalGenerationError(), CommitRefused),
        (kafka.OffsetOutOfRangeError(), OffsetOutOfRange),
        (kafka.NoOffsetForPartitionError(), OffsetOutOfRange),
        (kafka.UnknownTopicOrPartitionError(), UnknownTopic),
        (kafka.InvalidSessionTimeoutError(), ImproperlyConfigured),
        (kafka.InconsistentGroupProtocolError(), ImproperlyConfigured),
        (kafka.KafkaConnectionError("gone"), BrokerUnavailable),
        (ConnectionRefusedError(111, "refused"), BrokerUnavailable),
        (kafka.KafkaError("odd"), BrokerError),
    ],
)
def test_each_error_says_who_must_act(error: Exception, kind: type[FaustError]) -> None:
    """Every kind of client error becomes our error of the matching kind, and the message says where."""
    told = translate(error, "reading clicks[3]")
    assert type(told) is kind
    assert str(told).startswith("reading clicks[3]: ")


def test_our_own_errors_pass_unchanged() -> None:
    """An error that is ours already is not wrapped again."""
    error = UnknownTopic("no such topic")
    assert translate(error, "anywhere") is error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (kafka.MessageSizeTooLargeError(), RecordTooLarge),
        (kafka.RecordListTooLargeError(), RecordTooLarge),
        (kafka.KafkaConnectionError("gone"), NotAcknowledged),
        (kafka.OutOfOrderSequenceNumber(), ProducerSendError),
        (kafka.TopicAuthorizationFailedError("t"), AuthorizationFailed),
        (kafka.ProducerFenced(), ProducerFenced),
    ],
)
def test_a_refused_batch_names_topic_partition_and_size(
    error: Exception, kind: type[FaustError]
) -> None:
    """What the broker does not accept is an error with topic, partition, number of records and bytes."""
    told = translate_send(error, "clicks", 3, records=7, size=4711)
    assert type(told) is kind
    assert "7 record(s), 4711 bytes, to clicks[3]" in str(told)


def test_refusals_are_never_retried() -> None:
    """Refused credentials and permissions are told apart from what passes by itself."""
    assert is_refusal(kafka.SaslAuthenticationFailed())
    assert not is_passing(kafka.SaslAuthenticationFailed())
    assert is_passing(kafka.KafkaConnectionError())
    assert is_passing(kafka.NotLeaderForPartitionError())
    assert not is_passing(kafka.InvalidTopicError())


@pytest.mark.parametrize(
    ("code", "passes"), [(UNSTABLE_OFFSET_COMMIT, True), (78, True), (FENCED_INSTANCE_ID, False)]
)
def test_codes_that_aiokafka_does_not_know_are_known(code: int, passes: bool) -> None:
    """Newer error codes have a name, and those that pass by themselves are retried."""
    error = kafka.for_code(code)
    assert error is not kafka.UnknownError
    assert is_passing(error()) is passes


@pytest.fixture
def quiet() -> logging.Logger:
    """A logger with the filter on it."""
    logger = logging.getLogger("test.kafka.repeats")
    logger.filters.clear()
    logger.addFilter(Repeats())
    return logger


def test_what_repeats_is_shown_once(
    quiet: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    """A thousand equal errors are one line, not a thousand; another error is another line."""
    for attempt in range(1000):
        quiet.error("attempt failed: %s", attempt)
    quiet.error("something else")
    assert [record.getMessage() for record in caplog.records] == [
        "attempt failed: 0",
        "something else",
    ]


def test_ordinary_events_are_no_warnings(
    quiet: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    """A rebalance is no fault, and is not logged as one."""
    quiet.warning("Heartbeat failed for group %s because it is rebalancing", "g")
    assert not caplog.records


def test_what_may_happen_once_is_told_when_it_goes_on(
    quiet: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    """A batch that is sent again after an election is no news; one that is sent again ten times is."""
    text = "Got error produce response on topic-partition %s, retrying. Error: %s"
    for _ in range(9):
        quiet.warning(text, "t", "e")
    assert not caplog.records
    for _ in range(9):
        quiet.warning(text, "t", "e")
    assert len(caplog.records) == 1


def test_exceptions_are_never_held_back(
    quiet: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    """A traceback is always shown."""
    for _ in range(2):
        try:
            raise ValueError("bug")
        except ValueError:
            quiet.exception("Unexpected error in sender routine")
    assert len(caplog.records) == 2


def test_a_coordinator_that_fails_leaves_the_outcome_open() -> None:
    """exactly-once.md: UNKNOWN_SERVER_ERROR in a transaction, also behind aiokafka's own error, is an outcome not known, no end."""
    died = kafka.KafkaError("Unexpected error during batch delivery")
    died.__cause__ = kafka.UnknownError()
    for error in (died, kafka.UnknownError()):
        told = translate_transaction(error, "cannot commit the transaction of t")
        assert type(told) is BrokerUnavailable
        assert "cannot commit the transaction of t" in str(told)
    assert type(translate_transaction(kafka.ProducerFenced(), "here")) is ProducerFenced
    assert type(translate_transaction(kafka.KafkaError("bug"), "here")) is BrokerError


@pytest.mark.parametrize("reason", [kafka.KafkaConnectionError("gone"), kafka.UnknownError()])
def test_a_sender_that_ended_for_what_passes_does_not_end_the_worker(reason: Exception) -> None:
    """A sender of aiokafka's ends with an error without a name; what has ended it says who must act: nobody."""
    looked_up = kafka.KafkaError(repr(reason))
    looked_up.__cause__ = reason
    ended = kafka.KafkaError("Unexpected error during batch delivery")
    ended.__cause__ = looked_up
    assert type(translate_transaction(ended, "cannot commit")) is BrokerUnavailable
    sent = translate_send(ended, "topic", 3, records=2, size=80)
    assert type(sent) is NotAcknowledged
    assert type(reason).__name__ in str(sent)
