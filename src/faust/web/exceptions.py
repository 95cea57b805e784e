"""Errors that a view raises to answer with a status; the answer is JSON: ``{"error": detail, ...}``.

The defaults are those of HTTP (RFC 9110, section 15).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from faust.exceptions import FaustError

__all__ = [
    "AuthenticationFailed",
    "MethodNotAllowed",
    "NotAcceptable",
    "NotAuthenticated",
    "NotFound",
    "ParseError",
    "PermissionDenied",
    "ServerError",
    "ServiceUnavailable",
    "Throttled",
    "UnsupportedMediaType",
    "ValidationError",
    "WebError",
]


class WebError(FaustError):
    """An answer that is an error.

    Arguments:
        detail: What is wrong; None: the sentence of the class.
        code: HTTP status; None: that of the class.
        headers: Headers of the answer.
        extra_context: Further items of the JSON object that is answered.
    """

    code: int = 500
    detail: str = "Internal server error."

    def __init__(
        self,
        detail: str | None = None,
        *,
        code: int | None = None,
        headers: Mapping[str, str] | None = None,
        **extra_context: Any,
    ) -> None:
        if detail is not None:
            self.detail = detail
        if code is not None:
            self.code = code
        self.headers: Mapping[str, str] = headers or {}
        self.extra_context: dict[str, Any] = extra_context
        super().__init__(self.detail)


class ServerError(WebError):
    """500."""


class ValidationError(WebError):
    """400: the values do not fit."""

    code = 400
    detail = "Invalid input."


class ParseError(WebError):
    """400: the request cannot be read."""

    code = 400
    detail = "Malformed request."


class AuthenticationFailed(WebError):
    """401: wrong credentials."""

    code = 401
    detail = "Incorrect authentication credentials"


class NotAuthenticated(WebError):
    """401: no credentials."""

    code = 401
    detail = "Authentication credentials were not provided."


class PermissionDenied(WebError):
    """403."""

    code = 403
    detail = "You do not have permission to perform this action."


class NotFound(WebError):
    """404."""

    code = 404
    detail = "Not found."


class MethodNotAllowed(WebError):
    """405."""

    code = 405
    detail = "Method not allowed."


class NotAcceptable(WebError):
    """406."""

    code = 406
    detail = "Could not satisfy the request Accept header."


class UnsupportedMediaType(WebError):
    """415."""

    code = 415
    detail = "Unsupported media type in request."


class Throttled(WebError):
    """429."""

    code = 429
    detail = "Request was throttled."


class ServiceUnavailable(WebError):
    """503."""

    code = 503
    detail = "Service unavailable. Try again later."
