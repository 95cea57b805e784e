"""settings.md 7: credentials objects, and what of them may be seen."""

from __future__ import annotations

import copy
import logging
import ssl
from typing import Any

import pytest

import faust
from faust import auth
from faust.auth import AuthProtocol, SASLMechanism
from faust.settings import Settings
from faust.transport.drivers.aiokafka.credentials import client_security

SECRET = "s3cret-of-mine"
CONTEXT = ssl.create_default_context()


class Provider:
    """Gives a token."""

    async def token(self) -> str:
        """Return it."""
        return SECRET

    def __repr__(self) -> str:
        return SECRET


@pytest.mark.parametrize("context", [None, CONTEXT])
@pytest.mark.parametrize(
    ("made", "mechanism"),
    [
        (lambda c: faust.SASLCredentials(ssl_context=c), SASLMechanism.PLAIN),
        (lambda c: faust.SASLCredentials(ssl_context=c, mechanism="PLAIN"), SASLMechanism.PLAIN),
        (
            lambda c: faust.SASLCredentials(ssl_context=c, mechanism="SCRAM-SHA-256"),
            SASLMechanism.SCRAM_SHA_256,
        ),
        (
            lambda c: faust.SASLCredentials(ssl_context=c, mechanism=SASLMechanism.SCRAM_SHA_512),
            SASLMechanism.SCRAM_SHA_512,
        ),
        (lambda c: faust.GSSAPICredentials(ssl_context=c), SASLMechanism.GSSAPI),
        (
            lambda c: faust.OAuthCredentials(oauth_cb=Provider(), ssl_context=c),
            SASLMechanism.OAUTHBEARER,
        ),
    ],
)
def test_protocol_and_mechanism(made: Any, mechanism: SASLMechanism, context: Any) -> None:
    """SASL is encrypted exactly when there is a context; each class has its mechanism."""
    credentials = made(context)
    plain = context is None
    assert credentials.protocol is (AuthProtocol.SASL_PLAINTEXT if plain else AuthProtocol.SASL_SSL)
    assert credentials.mechanism is mechanism
    assert credentials.ssl_context is context


def test_the_names_are_those_of_kafka() -> None:
    """The values of the enumerations are what the broker's configuration calls them."""
    assert [each.value for each in AuthProtocol] == [
        "SSL",
        "PLAINTEXT",
        "SASL_PLAINTEXT",
        "SASL_SSL",
    ]
    assert [each.value for each in SASLMechanism] == [
        "PLAIN",
        "GSSAPI",
        "SCRAM-SHA-256",
        "SCRAM-SHA-512",
        "OAUTHBEARER",
    ]


def test_defaults_of_gssapi() -> None:
    """The service is called kafka unless it is said otherwise."""
    credentials = faust.GSSAPICredentials(kerberos_domain_name="example.com")
    assert credentials.kerberos_service_name == "kafka"
    assert credentials.kerberos_domain_name == "example.com"


def test_ssl_credentials_take_or_make_a_context(tmp_path: Any) -> None:
    """Without a context one is made that authenticates servers; the rest tells whom to trust."""
    assert faust.SSLCredentials(CONTEXT).context is CONTEXT
    assert faust.SSLCredentials(context=CONTEXT).protocol is AuthProtocol.SSL
    made = faust.SSLCredentials().context
    assert made.verify_mode is ssl.CERT_REQUIRED
    assert made.check_hostname
    server = faust.SSLCredentials(purpose=ssl.Purpose.CLIENT_AUTH).context
    assert server.verify_mode is ssl.CERT_NONE
    with pytest.raises(OSError):  # noqa: PT011 - the text is that of the system
        faust.SSLCredentials(cafile=str(tmp_path / "none.pem"))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: faust.SSLCredentials("ca.pem"),  # type: ignore[arg-type]
        lambda: faust.SASLCredentials(ssl_context="ca.pem"),  # type: ignore[arg-type]
        lambda: faust.GSSAPICredentials(ssl_context=True),  # type: ignore[arg-type]
        lambda: faust.OAuthCredentials(oauth_cb=Provider(), ssl_context=1),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_context_is_refused(wrong: Any) -> None:
    """A path or a flag in the place of a context is an error where it is written."""
    with pytest.raises(TypeError, match=r"expected an ssl\.SSLContext"):
        wrong()


def test_arguments_are_checked() -> None:
    """Unknown mechanisms are a ValueError; positional arguments and a missing oauth_cb a TypeError."""
    with pytest.raises(ValueError, match="SCRAM-MD5"):
        faust.SASLCredentials(mechanism="SCRAM-MD5")
    with pytest.raises(TypeError):
        faust.SASLCredentials("user", "password")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="oauth_cb"):
        faust.OAuthCredentials()  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("credentials", "words"),
    [
        (faust.SASLCredentials(username="me", password=SECRET), "'me', PLAIN over SASL_PLAINTEXT"),
        (
            faust.OAuthCredentials(oauth_cb=Provider(), ssl_context=CONTEXT),
            "OAUTHBEARER over SASL_SSL",
        ),
        (faust.GSSAPICredentials(), "'kafka', GSSAPI"),
        (faust.SSLCredentials(CONTEXT), "<SSLCredentials: SSL>"),
    ],
)
def test_secrets_are_never_shown(
    credentials: auth.Credentials, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither repr nor log nor asdict() nor a warning shows a password or token."""
    conf = Settings("shop", env={}, broker_credentials=credentials)
    logging.getLogger("x").error("%s %r %s", credentials, [credentials], conf.asdict())
    assert words in repr(credentials)
    assert conf.broker_credentials is credentials
    with pytest.warns(UserWarning, match="broker_credentials") as told:
        conf.broker_credentials = faust.SASLCredentials(password=SECRET)
    for text in (repr(credentials), caplog.text, str(conf.asdict()), str(told[0].message)):
        assert SECRET not in text


def test_own_classes_show_nothing_they_do_not_mean_to() -> None:
    """The base shows its class only; copies are credentials, too."""

    class Mine(auth.Credentials):
        password = SECRET

    assert SECRET not in repr(Mine())
    original = faust.SASLCredentials(username="me", password=SECRET)
    assert copy.copy(original).password == SECRET


def test_the_driver_understands_each() -> None:
    """Every class becomes the arguments of the Kafka client; one it does not know is refused."""
    plain = faust.SASLCredentials(username="u", password="p", mechanism="SCRAM-SHA-512")
    assert client_security(plain) == {
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "u",
        "sasl_plain_password": "p",
    }
    assert client_security(faust.SSLCredentials(CONTEXT)) == {
        "security_protocol": "SSL",
        "ssl_context": CONTEXT,
    }
    token = client_security(faust.OAuthCredentials(oauth_cb=Provider(), ssl_context=CONTEXT))
    assert token["security_protocol"] == "SASL_SSL"
    assert token["sasl_mechanism"] == "OAUTHBEARER"
    with pytest.raises(faust.ImproperlyConfigured, match="no known kind"):
        client_security(auth.Credentials())
    with pytest.raises(faust.ImproperlyConfigured, match="needs a username"):
        client_security(faust.SASLCredentials(username="u"))


def test_old_addresses() -> None:
    """faust.types.auth has the names that older programs import."""
    from faust.types.auth import AuthProtocol as Protocol
    from faust.types.auth import CredentialsT, to_credentials
    from faust.types.auth import SASLMechanism as Mechanism
    from faust.types.enums import ProcessingGuarantee
    from faust.types.settings import Settings as OldSettings

    assert (Protocol, Mechanism, CredentialsT) == (AuthProtocol, SASLMechanism, auth.Credentials)
    assert isinstance(to_credentials(CONTEXT), faust.SSLCredentials)
    assert ProcessingGuarantee("at_least_once") is Settings("x", env={}).processing_guarantee
    assert OldSettings is Settings
