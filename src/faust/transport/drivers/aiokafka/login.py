"""What aiokafka's login leaves out: looking at what the broker answers to a token.

A broker that refuses a bearer token says so in a challenge, without an error code, and waits for the client to give up
(RFC 7628, section 3.2.2). aiokafka takes any answer for a yes; the next request then breaks the connection, which looks
like a broker in trouble, and would be tried again for ever.
"""

from __future__ import annotations

from typing import Any

from aiokafka.conn import OAuthAuthenticator
from aiokafka.errors import SaslAuthenticationFailed

__all__ = ["TokenLogin"]


class TokenLogin(OAuthAuthenticator):  # type: ignore[misc]  # aiokafka is untyped
    """Sends the token, and looks at the answer."""

    async def step(self, payload: bytes | None) -> Any:
        """Return what to send next, None when that was all.

        Raises:
            aiokafka.errors.SaslAuthenticationFailed: the broker has answered that it refuses the token.
        """
        if payload:
            answer = payload.decode(errors="replace")
            raise SaslAuthenticationFailed(f"the token was refused: {answer}")
        return await super().step(payload)
