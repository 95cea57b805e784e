"""What travels between who asks and who answers (serialization.md 6.2 and 6.3).

A request is either the plain value with two headers, or an envelope in the body. An envelope is opened where it is
decoded: the namespaces of requests stand for classes whose decoding gives *what is inside*, so nobody who reads a topic
ever sees one, whatever operator it is read through. Where the answer should go is read from the record itself, and
only when there is an answer (`request_of`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, get_args

from faust.models.base import Model, ModelOptions
from faust.models.record import Record
from faust.serializers.codecs import get_codec
from faust.serializers.typed import (
    BLESSED_KEY,
    blessed_namespace,
    is_model,
    maybe_model,
    namespaces,
)

__all__ = [
    "CORRELATION_ID",
    "REPLY_TO",
    "ModelReqRepRequest",
    "ModelReqRepResponse",
    "ReqRepRequest",
    "ReqRepResponse",
    "Request",
    "fits_envelope",
    "request_headers",
    "request_of",
    "wrap_request",
    "wrap_response",
]

REPLY_TO = "Faust-Ag-ReplyTo"
"""Header with the name of the topic that the answer goes to."""

CORRELATION_ID = "Faust-Ag-CorrelationId"
"""Header with the id of the request."""


class Request(NamedTuple):
    """Where an answer goes, and to which question."""

    reply_to: str
    correlation_id: str


class ReqRepRequest(Model):
    """A value in an envelope that says where the answer goes.

    Decoding gives the value: `from_data`, and every topic that reads one.
    """

    __is_abstract__ = False
    _options = ModelOptions(namespace="@ReqRepRequest", serializer="json", polymorphic_fields=True)

    def __init__(self, value: Any, reply_to: str, correlation_id: str) -> None:
        self.value = value
        self.reply_to = reply_to
        self.correlation_id = correlation_id

    @classmethod
    def _from_own(cls, data: dict[str, Any]) -> Any:
        return maybe_model(data["value"])

    def to_representation(self) -> dict[str, Any]:
        """Return what is encoded."""
        return {
            "value": self.value,
            "reply_to": self.reply_to,
            "correlation_id": self.correlation_id,
            BLESSED_KEY: {"ns": self._options.namespace},
        }

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.value!r} -> {self.reply_to} {self.correlation_id}>"


class ModelReqRepRequest(ReqRepRequest):
    """The same for a value that is a model."""

    _options = ModelOptions(
        namespace="faust.agents.models.ModelReqRepRequest",
        serializer="json",
        polymorphic_fields=True,
    )


REQUESTS = {cls._options.namespace: cls for cls in (ReqRepRequest, ModelReqRepRequest)}
namespaces.update(REQUESTS)


class ReqRepResponse(Record, serializer="json", namespace="@ReqRepResponse"):
    """An answer."""

    key: Any
    value: Any
    correlation_id: str


class ModelReqRepResponse(
    ReqRepResponse, serializer="json", namespace="faust.agents.models.ModelReqRepResponse"
):
    """An answer that is a model."""


def fits_envelope(typ: Any) -> bool:
    """Say whether values of type *typ* can be read out of an envelope: it is a JSON object that names its model."""
    return typ is None or is_model(typ) or any(is_model(part) for part in get_args(typ))


def wrap_request(value: Any, request: Request) -> ReqRepRequest:
    """Put *value* into an envelope."""
    cls = ModelReqRepRequest if is_model(type(value)) else ReqRepRequest
    return cls(value, *request)


def wrap_response(key: Any, value: Any, correlation_id: str) -> ReqRepResponse:
    """Put an answer into its envelope; a key of bytes is shown as text, as it always was."""
    cls = ModelReqRepResponse if is_model(type(value)) else ReqRepResponse
    return cls(str(key) if isinstance(key, bytes) else key, value, correlation_id)


def request_headers(request: Request) -> list[tuple[str, bytes]]:
    """Return the headers of a request without envelope."""
    return [
        (REPLY_TO, request.reply_to.encode()),
        (CORRELATION_ID, request.correlation_id.encode()),
    ]


def request_of(record: Any, codec: Any = None) -> Request | None:
    """Return the request that a record is, of either kind; None when nobody waits for an answer.

    Arguments:
        record: As a stream has it in hand: a driver's record, or an event that was put on a channel.
        codec: How values of its topic are encoded; None: JSON.
    """
    headers = getattr(record, "headers", None)
    if headers:
        found = _in_headers(headers)
        if found is not None:
            return found
    raw = record.value
    if type(raw) is bytes and (b"ReqRepRequest" in raw or codec not in _LEGIBLE):
        return _in_envelope(raw, codec)
    return None


_LEGIBLE: tuple[Any, ...] = (None, "", "json", "pickle", "raw")
"""Codecs that leave the namespace readable in the bytes; what others hide must be decoded to be seen."""


def _in_headers(headers: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> Request | None:
    reply_to = correlation_id = None
    for name, value in headers.items() if isinstance(headers, Mapping) else headers:
        if name == REPLY_TO:
            reply_to = value
        elif name == CORRELATION_ID:
            correlation_id = value
    if not reply_to or not correlation_id:
        return None
    return Request(_text(reply_to), _text(correlation_id))


def _in_envelope(raw: bytes, codec: Any) -> Request | None:
    try:
        data = get_codec(codec or "json").loads(raw)
    except Exception:
        return None
    if blessed_namespace(data) not in REQUESTS:
        return None
    reply_to, correlation_id = data.get("reply_to"), data.get("correlation_id")
    return Request(reply_to, correlation_id) if reply_to and correlation_id else None


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
