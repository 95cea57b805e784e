"""From settings to the options of transport drivers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast
from uuid import uuid4

from yarl import URL

from faust.drivers import stores, transports
from faust.exceptions import ImproperlyConfigured
from faust.messages import Slice
from faust.settings.common import ProcessingGuarantee
from faust.settings.params import AUTO, version_tuple
from faust.settings.settings import Settings
from faust.transport.base import ConsumerOptions, ProducerOptions, Transport
from faust.transport.utils import Arrangement, without_headers

SLICE = ConsumerOptions.slice_size

__all__ = [
    "arrangement",
    "check_store",
    "consumer_options",
    "credentials_of",
    "exactly_once",
    "has_headers",
    "make_transport",
    "producer_options",
    "reader_options",
    "transactional_options",
    "with_directory",
]


def make_transport(urls: Sequence[URL], conf: Settings) -> Transport:
    """Make the transport of the first URL's scheme."""
    cls = transports.by_url(urls[0])
    return cast("Transport", cls([with_directory(url, conf) for url in urls]))


def check_store(conf: Settings) -> None:
    """Refuse a store that nobody can drive, also when no table uses it yet.

    Raises:
        ImproperlyConfigured: The setting ``store`` names a driver that is not there.
    """
    stores.by_url(conf.store)


def with_directory(url: URL, conf: Settings) -> URL:
    """``local://`` alone means a directory below the app's data directory."""
    if url.scheme == "local" and not url.host and url.path in ("", "/"):
        path = (conf.datadir / "broker").absolute()
        return URL.build(scheme="local", host="", path=str(path), query=url.query)
    return url


def credentials_of(conf: Settings) -> Any:
    """Return what setting ``broker_credentials`` says, else what ``ssl_context`` says."""
    return conf.broker_credentials or conf.ssl_context


def consumer_options(conf: Settings) -> ConsumerOptions:
    """Return what the settings say about consuming.

    Raises:
        ImproperlyConfigured: The broker may answer later than the group gives a member up.
    """
    if conf.broker_request_timeout < conf.broker_session_timeout:
        raise ImproperlyConfigured(
            f"setting 'broker_request_timeout' ({conf.broker_request_timeout:g} s) must not be less than "
            f"'broker_session_timeout' ({conf.broker_session_timeout:g} s)"
        )
    return ConsumerOptions(
        group_id=conf.id,
        client_id=conf.broker_client_id,
        group_instance_id=conf.consumer_group_instance_id,
        auto_offset_reset=conf.consumer_auto_offset_reset,
        session_timeout=conf.broker_session_timeout,
        rebalance_timeout=conf.broker_rebalance_timeout,
        heartbeat_interval=conf.broker_heartbeat_interval,
        max_poll_interval=conf.broker_max_poll_interval,
        request_timeout=conf.broker_request_timeout,
        check_crcs=conf.broker_check_crcs,
        max_fetch_size=conf.consumer_max_fetch_size,
        slice_size=min(SLICE, conf.broker_max_poll_records or SLICE),
        metadata_max_age=conf.consumer_metadata_max_age_ms / 1000,
        connections_max_idle=conf.consumer_connections_max_idle_ms / 1000,
        credentials=credentials_of(conf),
        connect_timeout=conf.broker_request_timeout,
        read_committed=exactly_once(conf),
    )


def exactly_once(conf: Settings) -> bool:
    """Say whether setting ``processing_guarantee`` is ``exactly_once``."""
    return conf.processing_guarantee is ProcessingGuarantee.EXACTLY_ONCE


def has_headers(version: str) -> bool:
    """Say whether records have headers in a version of the protocol: since 0.11 (KIP-82)."""
    return version == AUTO or version_tuple(version) >= (0, 11)


def arrangement(conf: Settings) -> Callable[[list[Slice]], Sequence[Slice]] | None:
    """Return what is done to the slices of a poll before streams get them; None: nothing."""
    order = None if conf.is_default("ConsumerScheduler") else Arrangement(conf.ConsumerScheduler())
    if has_headers(conf.consumer_api_version):
        return order
    if order is None:
        return without_headers
    return lambda slices: order(without_headers(slices))


def reader_options(conf: Settings) -> ConsumerOptions:
    """Return the options of a consumer that reads partitions by hand, in no group."""
    return replace(consumer_options(conf), group_id=None, group_instance_id=None)


def transactional_options(conf: Settings) -> ProducerOptions:
    """Return the options of the producer for what events cause, with exactly-once processing.

    Its transactional id belongs to this worker alone. A static member keeps it over restarts, so that its next start aborts
    what its last life had open; of any other the broker aborts it when the transaction's time is over.

    Raises:
        ImproperlyConfigured: A transaction would end before it is to be committed; or a setting contradicts transactions.
    """
    timeout, interval = conf.broker_transaction_timeout, conf.broker_commit_interval
    if timeout <= 2 * interval:
        raise ImproperlyConfigured(
            f"setting 'broker_transaction_timeout' ({timeout:g} s) must be more than twice 'broker_commit_interval' "
            f"({interval:g} s) with exactly-once processing: commit more often, or let transactions last longer"
        )
    if conf.producer_acks not in (-1, "all"):
        raise ImproperlyConfigured(
            f"setting 'producer_acks' is {conf.producer_acks!r}; exactly-once processing needs -1 (all)"
        )
    member = conf.consumer_group_instance_id or uuid4().hex
    return replace(
        producer_options(conf),
        transactional_id=f"{conf.id}-{member}",
        transaction_timeout=timeout,
        request_timeout=min(conf.producer_request_timeout, timeout),
    )


def producer_options(conf: Settings) -> ProducerOptions:
    """Return what the settings say about producing."""
    acks: Any = conf.producer_acks
    return ProducerOptions(
        client_id=conf.broker_client_id,
        acks=acks,
        linger=conf.producer_linger,
        max_batch_size=conf.producer_max_batch_size,
        max_request_size=conf.producer_max_request_size,
        compression=conf.producer_compression_type,
        request_timeout=conf.producer_request_timeout,
        metadata_max_age=conf.producer_metadata_max_age_ms / 1000,
        connections_max_idle=conf.producer_connections_max_idle_ms / 1000,
        credentials=credentials_of(conf),
        connect_timeout=conf.broker_request_timeout,
    )
