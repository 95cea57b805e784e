"""Credentials: how a worker identifies itself to the broker, and how the connection is encrypted.

A credentials object says *what* is presented; the driver of the transport knows *how*. What is
secret stays in an attribute and out of every ``repr``, so that logs and error messages cannot show
it.

``protocol`` and ``mechanism`` are the names that Kafka gives them (``security.protocol`` and
``sasl.mechanism``); SASL is RFC 4422, PLAIN RFC 4616, SCRAM RFC 5802 and 7677, OAUTHBEARER RFC 7628
(KIP-255), GSSAPI RFC 4752.
"""

from __future__ import annotations

import enum
import ssl
from typing import Any, Protocol

__all__ = [
    "AuthProtocol",
    "Credentials",
    "GSSAPICredentials",
    "OAuthCredentials",
    "SASLCredentials",
    "SASLMechanism",
    "SSLCredentials",
    "TokenProvider",
    "to_credentials",
]


class AuthProtocol(enum.Enum):
    """What is spoken on the connection, by Kafka's names."""

    SSL = "SSL"
    PLAINTEXT = "PLAINTEXT"
    SASL_PLAINTEXT = "SASL_PLAINTEXT"
    SASL_SSL = "SASL_SSL"


class SASLMechanism(enum.Enum):
    """How a client proves who it is, by the names of the registry of SASL mechanisms."""

    PLAIN = "PLAIN"
    GSSAPI = "GSSAPI"
    SCRAM_SHA_256 = "SCRAM-SHA-256"
    SCRAM_SHA_512 = "SCRAM-SHA-512"
    OAUTHBEARER = "OAUTHBEARER"


class TokenProvider(Protocol):
    """What `OAuthCredentials` asks for a token; one that expires is asked for again."""

    async def token(self) -> str:
        """Return a token that is valid now."""
        ...


class Credentials:
    """Base of all credentials."""

    protocol: AuthProtocol
    """What is spoken on the connection."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self._shown()}>"

    def _shown(self) -> str:
        """Return what may be shown."""
        protocol = getattr(self, "protocol", None)
        return protocol.value if isinstance(protocol, AuthProtocol) else "of another protocol"


class _SASL(Credentials):
    """What the three kinds of SASL have in common."""

    mechanism: SASLMechanism

    def __init__(self, mechanism: str | SASLMechanism, ssl_context: ssl.SSLContext | None) -> None:
        self.mechanism = SASLMechanism(mechanism)
        self.ssl_context: ssl.SSLContext | None = _checked(ssl_context)
        self.protocol = (
            AuthProtocol.SASL_PLAINTEXT if ssl_context is None else AuthProtocol.SASL_SSL
        )

    def _shown(self) -> str:
        return f"{self.mechanism.value} over {self.protocol.value}"


class SASLCredentials(_SASL):
    """A user name and a password.

    Arguments:
        username: Name of the user.
        password: Its password.
        ssl_context: Encrypts the connection. Without it PLAIN sends the password readable by all.
        mechanism: ``PLAIN`` (the default), ``SCRAM-SHA-256`` or ``SCRAM-SHA-512``.

    Raises:
        ValueError: no such mechanism.
        TypeError: *ssl_context* is no `ssl.SSLContext`.
    """

    def __init__(
        self,
        *,
        username: str | None = None,
        password: str | None = None,
        ssl_context: ssl.SSLContext | None = None,
        mechanism: str | SASLMechanism | None = None,
    ) -> None:
        super().__init__(mechanism or SASLMechanism.PLAIN, ssl_context)
        self.username = username
        self.password = password

    def _shown(self) -> str:
        return f"user {self.username!r}, {super()._shown()}"


class GSSAPICredentials(_SASL):
    """A Kerberos ticket, from the ticket cache or keytab of the process.

    Needs the library ``gssapi``.

    Arguments:
        kerberos_service_name: First part of the broker's principal.
        kerberos_domain_name: Domain of the broker; None: that of its address.
        ssl_context: Encrypts the connection.
        mechanism: ``GSSAPI``.

    Raises:
        ValueError: no such mechanism.
        TypeError: *ssl_context* is no `ssl.SSLContext`.
    """

    def __init__(
        self,
        *,
        kerberos_service_name: str = "kafka",
        kerberos_domain_name: str | None = None,
        ssl_context: ssl.SSLContext | None = None,
        mechanism: str | SASLMechanism | None = None,
    ) -> None:
        super().__init__(mechanism or SASLMechanism.GSSAPI, ssl_context)
        self.kerberos_service_name = kerberos_service_name
        self.kerberos_domain_name = kerberos_domain_name

    def _shown(self) -> str:
        return f"service {self.kerberos_service_name!r}, {super()._shown()}"


class OAuthCredentials(_SASL):
    """A bearer token.

    Arguments:
        oauth_cb: Object whose coroutine ``token()`` returns a token; asked at every connection.
        ssl_context: Encrypts the connection. Without it the token is readable by all.

    Raises:
        TypeError: *ssl_context* is no `ssl.SSLContext`.
    """

    def __init__(
        self, *, oauth_cb: TokenProvider, ssl_context: ssl.SSLContext | None = None
    ) -> None:
        super().__init__(SASLMechanism.OAUTHBEARER, ssl_context)
        self.oauth_cb = oauth_cb


class SSLCredentials(Credentials):
    """Encryption, and whatever certificates the context holds.

    Arguments:
        context: The context to use. None: one is made by `ssl.create_default_context` of the rest.
        purpose: What the certificates are for; by default to authenticate servers.
        cafile: File with the certificates of the authorities to trust.
        capath: Directory with them.
        cadata: They themselves.

    Raises:
        TypeError: *context* is no `ssl.SSLContext`.
        OSError: *cafile* or *capath* cannot be read.
    """

    def __init__(
        self,
        context: ssl.SSLContext | None = None,
        *,
        purpose: Any = None,
        cafile: str | None = None,
        capath: str | None = None,
        cadata: str | bytes | None = None,
    ) -> None:
        made = _checked(context) or ssl.create_default_context(
            purpose or ssl.Purpose.SERVER_AUTH, cafile=cafile, capath=capath, cadata=cadata
        )
        self.protocol = AuthProtocol.SSL
        self.context: ssl.SSLContext = made


def _checked(context: Any) -> ssl.SSLContext | None:
    if context is not None and not isinstance(context, ssl.SSLContext):
        raise TypeError(f"expected an ssl.SSLContext, got {type(context).__name__}")
    return context


def to_credentials(given: Credentials | ssl.SSLContext) -> Credentials:
    """Return *given*, a TLS context wrapped in `SSLCredentials`.

    Raises:
        TypeError: it is neither.
    """
    if isinstance(given, ssl.SSLContext):
        return SSLCredentials(given)
    if not isinstance(given, Credentials):
        raise TypeError(f"{type(given).__name__} is not a credentials object")
    return given
