"""Credentials as aiokafka's clients want them.

Whatever has the attributes below will do; the package's own credential classes are one kind of it. An
``ssl.SSLContext`` stands for TLS without a user name.

=========================  =========================================================================
``protocol``               ``PLAINTEXT``, ``SSL``, ``SASL_PLAINTEXT`` or ``SASL_SSL``; missing: told from the rest
``mechanism``              ``PLAIN``, ``SCRAM-SHA-256``, ``SCRAM-SHA-512``, ``OAUTHBEARER`` or ``GSSAPI``
``username``, ``password`` for PLAIN and SCRAM
``ssl_context``            an ``ssl.SSLContext`` (``context`` is understood as well)
``oauth_cb``               for OAUTHBEARER: an object whose ``token()`` is a coroutine that returns it
``kerberos_service_name``  for GSSAPI
``kerberos_domain_name``   for GSSAPI
=========================  =========================================================================
"""

from __future__ import annotations

import ssl
from typing import Any

from aiokafka import conn
from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import KafkaConnectionError

from faust.exceptions import ImproperlyConfigured

__all__ = ["client_security"]

_MECHANISMS = ("PLAIN", "GSSAPI", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER")
_PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")


class _TokenProvider(AbstractTokenProvider):  # type: ignore[misc]  # aiokafka is untyped
    """Any object with a ``token`` coroutine, as the class that aiokafka asks for.

    A provider that fails is a connection that fails: it is tried again.
    """

    def __init__(self, provider: Any) -> None:
        self._provider = provider

    async def token(self) -> str:
        """Return the token."""
        try:
            return str(await self._provider.token())
        except Exception as error:
            raise KafkaConnectionError(f"oauth_cb.token() failed: {error!r}") from error

    def extensions(self) -> dict[str, str]:
        """Return the SASL extensions (KIP-342)."""
        extensions = getattr(self._provider, "extensions", None)
        return dict(extensions()) if callable(extensions) else {}


def client_security(credentials: Any) -> dict[str, Any]:
    """Return the keyword arguments for aiokafka's client.

    Raises:
        ImproperlyConfigured: when *credentials* are of no known kind, incomplete, or need a library that is missing.
    """
    if credentials is None:
        return {"security_protocol": "PLAINTEXT"}
    if isinstance(credentials, ssl.SSLContext):
        return {"security_protocol": "SSL", "ssl_context": credentials}
    context = getattr(credentials, "ssl_context", None) or getattr(credentials, "context", None)
    protocol = _protocol(credentials, context)
    security: dict[str, Any] = {"security_protocol": protocol}
    if protocol.endswith("SSL"):
        if context is None:
            raise ImproperlyConfigured(
                f"credentials with protocol {protocol} need an ssl_context (ssl.SSLContext)"
            )
        security["ssl_context"] = context
    if protocol.startswith("SASL"):
        security |= _sasl(credentials)
    return security


def _protocol(credentials: Any, context: Any) -> str:
    given = getattr(credentials, "protocol", None)
    if given is None:
        if getattr(credentials, "mechanism", None) is not None:
            return "SASL_PLAINTEXT" if context is None else "SASL_SSL"
        if context is not None:
            return "SSL"
        raise ImproperlyConfigured(
            f"broker_credentials {credentials!r} are of no known kind: expected faust.SASLCredentials, "
            "faust.GSSAPICredentials, faust.OAuthCredentials, faust.SSLCredentials or an ssl.SSLContext"
        )
    protocol = str(getattr(given, "value", given)).upper()
    if protocol not in _PROTOCOLS:
        raise ImproperlyConfigured(
            f"unknown security protocol {protocol!r}: expected one of {', '.join(_PROTOCOLS)}"
        )
    return protocol


def _sasl(credentials: Any) -> dict[str, Any]:
    given = getattr(credentials, "mechanism", None) or "PLAIN"
    mechanism = str(getattr(given, "value", given)).upper()
    if mechanism not in _MECHANISMS:
        raise ImproperlyConfigured(
            f"unknown SASL mechanism {mechanism!r}: expected one of {', '.join(_MECHANISMS)}"
        )
    if mechanism == "OAUTHBEARER":
        return {"sasl_mechanism": mechanism, "sasl_oauth_token_provider": _provider(credentials)}
    if mechanism == "GSSAPI":
        if conn.gssapi is None:
            raise ImproperlyConfigured("SASL mechanism GSSAPI needs a library: pip install gssapi")
        return {
            "sasl_mechanism": mechanism,
            "sasl_kerberos_service_name": getattr(credentials, "kerberos_service_name", None)
            or "kafka",
            "sasl_kerberos_domain_name": getattr(credentials, "kerberos_domain_name", None),
        }
    username = getattr(credentials, "username", None)
    password = getattr(credentials, "password", None)
    if username is None or password is None:
        raise ImproperlyConfigured(f"SASL mechanism {mechanism} needs a username and a password")
    return {
        "sasl_mechanism": mechanism,
        "sasl_plain_username": username,
        "sasl_plain_password": password,
    }


def _provider(credentials: Any) -> Any:
    provider = getattr(credentials, "oauth_cb", None)
    if not callable(getattr(provider, "token", None)):
        raise ImproperlyConfigured(
            f"SASL mechanism OAUTHBEARER needs oauth_cb, an object with a coroutine token(); got {provider!r}"
        )
    return _TokenProvider(provider)
