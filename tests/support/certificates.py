"""Certificates made for a test: an authority, what it signs, and contexts that trust it."""

from __future__ import annotations

import ssl
from functools import cached_property
from pathlib import Path
from typing import Any

__all__ = ["Authority"]

HOSTS = ("localhost", "127.0.0.1")


class Authority:
    """A certificate authority that nobody knows but those who are given its `context`."""

    @cached_property
    def _ca(self) -> Any:
        import trustme  # whoever starts no Kafka can do without it

        return trustme.CA()

    def write_server(self, directory: Path) -> tuple[Path, Path]:
        """Write key and certificate of a server on this machine, and the certificates it trusts.

        The key is PKCS #8, the only form that Java reads from PEM files.
        """
        from cryptography.hazmat.primitives import serialization

        issued = self._ca.issue_cert(*HOSTS)
        key = serialization.load_pem_private_key(issued.private_key_pem.bytes(), password=None)
        own, trusted = directory / "server.pem", directory / "trusted.pem"
        own.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + b"".join(blob.bytes() for blob in issued.cert_chain_pems)
        )
        trusted.write_bytes(self._ca.cert_pem.bytes())
        return own, trusted

    def context(self, *, client: Authority | None = None) -> ssl.SSLContext:
        """Return a context that trusts this authority, with a certificate of *client* if there is one."""
        context = ssl.create_default_context()
        self._ca.configure_trust(context)
        if client is not None:
            client._ca.issue_cert("client.example.org").configure_cert(context)
        return context
