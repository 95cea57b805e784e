"""Addresses and credentials of the Kafka driver: what goes in, what aiokafka is told, what is refused."""

from __future__ import annotations

import ssl
from types import SimpleNamespace

import pytest
from yarl import URL

from faust.exceptions import FaustWarning, ImproperlyConfigured
from faust.transport.base import ConsumerOptions, ProducerOptions
from faust.transport.drivers.aiokafka import Transport
from faust.transport.drivers.aiokafka.credentials import client_security
from faust.transport.drivers.aiokafka.transport import bootstrap_servers


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("kafka://localhost", "localhost:9092"),
        ("kafka://", "127.0.0.1:9092"),
        ("kafka://a:1", "a:1"),
        ("aiokafka://[::1]:9093", "[::1]:9093"),
        ("aiokafka://[fe80::1]", "[fe80::1]:9092"),
        ("kafka://b:9093/path", "b:9093"),
    ],
)
def test_an_address_becomes_host_and_port(url: str, server: str) -> None:
    """Missing parts of a broker URL are filled in, the path is ignored, IPv6 keeps its brackets."""
    assert bootstrap_servers([URL(url)]) == [server]


@pytest.mark.parametrize("url", ["kafka://user:s3cret@b", "kafka://user@b", "kafka://:s3cret@b"])
def test_a_password_in_the_address_is_not_ignored_in_silence(url: str) -> None:
    """Who writes user and password into a broker URL is told where they belong, and sees no password."""
    with pytest.warns(FaustWarning, match=r"broker_credentials=faust\.SASLCredentials") as told:
        assert bootstrap_servers([URL(url)]) == ["b:9092"]
    assert "s3cret" not in str(told[0].message)


def test_several_addresses_are_all_used() -> None:
    """Every URL of the broker setting becomes a bootstrap server, in order."""
    urls = [URL("kafka://a:9092"), URL("kafka://b:9093"), URL("kafka://c")]
    assert bootstrap_servers(urls) == ["a:9092", "b:9093", "c:9092"]


def test_no_address_is_refused() -> None:
    """An empty broker setting is an error that says what is expected."""
    with pytest.raises(ImproperlyConfigured, match="kafka://host:9092"):
        bootstrap_servers([])


def test_no_credentials_mean_plain_text() -> None:
    """Without credentials the connection is neither encrypted nor authenticated."""
    assert client_security(None) == {"security_protocol": "PLAINTEXT"}


def test_an_ssl_context_means_tls() -> None:
    """An ssl.SSLContext as credentials stands for TLS without a user."""
    context = ssl.create_default_context()
    assert client_security(context) == {"security_protocol": "SSL", "ssl_context": context}


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_user_and_password_are_passed_on(mechanism: str) -> None:
    """Mechanism, user name and password reach aiokafka as they are."""
    given = SimpleNamespace(
        protocol="SASL_PLAINTEXT", mechanism=mechanism, username="u", password="p"
    )
    assert client_security(given) == {
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": mechanism,
        "sasl_plain_username": "u",
        "sasl_plain_password": "p",
    }


def test_sasl_with_a_context_is_encrypted() -> None:
    """Credentials that carry an SSL context, and name no protocol, use SASL over TLS."""
    context = ssl.create_default_context()
    given = SimpleNamespace(mechanism="PLAIN", username="u", password="p", ssl_context=context)
    told = client_security(given)
    assert told["security_protocol"] == "SASL_SSL"
    assert told["ssl_context"] is context


async def test_any_token_provider_will_do() -> None:
    """OAUTHBEARER takes any object with a coroutine token()."""

    class Provider:
        async def token(self) -> str:
            return "abc"

    told = client_security(SimpleNamespace(mechanism="OAUTHBEARER", oauth_cb=Provider()))
    assert await told["sasl_oauth_token_provider"].token() == "abc"
    assert told["sasl_oauth_token_provider"].extensions() == {}


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (object(), "no known kind"),
        (SimpleNamespace(protocol="TELNET"), "unknown security protocol 'TELNET'"),
        (SimpleNamespace(mechanism="ROT13"), "unknown SASL mechanism 'ROT13'"),
        (SimpleNamespace(mechanism="PLAIN", username="u"), "needs a username and a password"),
        (SimpleNamespace(protocol="SSL"), "need an ssl_context"),
        (SimpleNamespace(mechanism="OAUTHBEARER"), "needs oauth_cb"),
    ],
)
def test_unusable_credentials_are_refused(given: object, reason: str) -> None:
    """Credentials that cannot work are an error when the client is made, and it names what is missing."""
    transport = Transport([URL("kafka://localhost")])
    with pytest.raises(ImproperlyConfigured, match=reason):
        transport.consumer(ConsumerOptions(credentials=given))
    with pytest.raises(ImproperlyConfigured, match=reason):
        transport.producer(ProducerOptions(credentials=given))
    with pytest.raises(ImproperlyConfigured, match=reason):
        transport.admin(credentials=given)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (ProducerOptions(acks=2), "producer_acks is 2"),
        (ProducerOptions(acks=1, transactional_id="x"), "transactions need producer_acks=-1"),
        (ProducerOptions(compression="arj"), "unknown compression 'arj'"),
    ],
)
def test_unusable_producer_options_are_refused(options: ProducerOptions, reason: str) -> None:
    """Options that contradict each other are refused when the producer is made."""
    with pytest.raises(ImproperlyConfigured, match=reason):
        Transport([URL("kafka://localhost")]).producer(options)


def test_an_unknown_reset_policy_is_refused() -> None:
    """A reset policy is earliest, latest or none; anything else is refused when the consumer is made."""
    with pytest.raises(ImproperlyConfigured, match="expected earliest, latest or none"):
        Transport([URL("kafka://localhost")]).consumer(ConsumerOptions(auto_offset_reset="first"))
