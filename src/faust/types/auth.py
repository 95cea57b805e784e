"""Names about authentication that older programs import from here."""

from __future__ import annotations

from faust.auth import AuthProtocol, SASLMechanism, to_credentials
from faust.auth import Credentials as CredentialsT

__all__ = ["AuthProtocol", "CredentialsT", "SASLMechanism", "to_credentials"]
