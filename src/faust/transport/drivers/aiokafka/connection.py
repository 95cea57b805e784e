"""One connection to one broker: aiokafka's, with a shorter way for what is asked a thousand times a second.

aiokafka reads through a stream and a task, and every request is a task of its own that is woken by a future: five turns
of the loop from the socket to whoever asked. After the handshake `Connection` takes the frames from the socket's
callback instead. A request of aiokafka's own gets its answer as before, less one turn; an `Exchange` gets its frame at
once, in that callback, and encodes and reads the bytes itself (`wire.py`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from struct import Struct
from typing import Any

from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import CorrelationIdError, KafkaConnectionError, RequestTimedOutError

from faust.transport.drivers.aiokafka.login import TokenLogin

__all__ = ["Connection", "Exchange", "Frames"]

logger: logging.Logger = logging.getLogger(__name__)

_HEADER = Struct(">ihhih")
"""Size, API key, version, correlation id and length of the client id: a request header of version 1."""


class Frames(asyncio.Protocol):
    """Cuts what a socket gives into frames: four bytes of length, and so many bytes.

    Arguments:
        on_frame: Called with each frame.
        before: The protocol that had the socket; it goes on to be told about its end and about flow control.
    """

    def __init__(self, on_frame: Callable[[bytes], None], before: asyncio.Protocol) -> None:
        self._on_frame = on_frame
        self._before = before
        self._parts: list[bytes] = []
        self._missing = 0

    def data_received(self, data: bytes) -> None:
        """Hand out the frames that are complete."""
        if self._missing:
            self._parts.append(data)
            self._missing -= len(data)
            if self._missing > 0:
                return
            data = b"".join(self._parts)
            self._parts.clear()
        start, end = 0, len(data)
        while end - start >= 4:
            stop = start + 4 + int.from_bytes(data[start : start + 4], "big")
            if stop > end:
                break
            self._on_frame(data[start + 4 : stop])
            start = stop
        left = end - start
        self._missing = 0
        if left:
            self._parts.append(data[start:] if start else data)
            size = int.from_bytes(data[start : start + 4], "big") if left >= 4 else 0
            self._missing = 4 + size - left

    def eof_received(self) -> bool | None:
        """Tell the protocol before us."""
        return self._before.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the protocol before us."""
        self._before.connection_lost(exc)

    def pause_writing(self) -> None:
        """Tell the protocol before us."""
        self._before.pause_writing()

    def resume_writing(self) -> None:
        """Tell the protocol before us."""
        self._before.resume_writing()


class Exchange:
    """A request that somebody encoded, and who reads the answer; in the place of a future among a connection's requests.

    Arguments:
        answered: Called with the frame, correlation id included.
        lost: Called with the reason when there will be no answer.

    Attributes:
        deadline: When to give up (the loop's clock).
    """

    __slots__ = ("_answered", "_lost", "_over", "deadline")

    def __init__(
        self, answered: Callable[[bytes], None], lost: Callable[[Exception], None]
    ) -> None:
        self._answered = answered
        self._lost = lost
        self._over = False
        self.deadline: float = 0.0

    def done(self) -> bool:
        """Say whether it is over; part of a future's face."""
        return self._over

    def answer(self, frame: bytes) -> None:
        """Give the answer out, unless it is over."""
        if self._end():
            self._answered(frame)

    def set_exception(self, error: Exception) -> None:
        """Tell that there will be no answer, unless it is over; part of a future's face."""
        if self._end():
            self._lost(error)

    def _end(self) -> bool:
        if self._over:
            return False
        self._over = True
        return True


class Connection(AIOKafkaConnection):  # type: ignore[misc]  # aiokafka is untyped
    """aiokafka's connection, whose frames come without streams and tasks once the handshake is over."""

    _watchdog: asyncio.TimerHandle | None = None

    async def connect(self) -> Any:
        """Connect, agree on versions, authenticate; then take the socket's callbacks."""
        pair = await super().connect()
        transport = self._writer.transport
        transport.set_protocol(Frames(self._take_frame, self._protocol))
        self._name = self._client_id.encode()
        return pair

    def authenticator_oauth(self) -> TokenLogin:
        """Return what proves by a token who we are."""
        return TokenLogin(sasl_oauth_token_provider=self._sasl_oauth_token_provider)

    def speaks(self, api: int, version: int) -> bool:
        """Say whether the broker knows *version* of the API with this key."""
        lowest, highest = self._versions.get(api, (0, -1))
        return bool(lowest <= version <= highest)

    def exchange(self, api: int, version: int, body: bytes, exchange: Exchange) -> None:
        """Send a request that is encoded already; its header (version 1) is put before it.

        Raises:
            aiokafka.errors.KafkaConnectionError: the connection is closed.
        """
        if self._writer is None:
            raise KafkaConnectionError(f"No connection to broker at {self._host}:{self._port}")
        number = self._next_correlation_id()
        name = self._name
        header = _HEADER.pack(10 + len(name) + len(body), api, version, number, len(name))
        exchange.deadline = self._loop.time() + self._request_timeout
        self._requests.append((number, None, exchange))
        if self._watchdog is None:
            self._watchdog = self._loop.call_at(exchange.deadline, self._look_for_overdue)
        self._writer.write(b"".join((header, name, body)))

    def _look_for_overdue(self) -> None:
        """Close the connection when its oldest exchange is overdue; else look again when it would be."""
        self._watchdog = None
        exchanges = (entry[2] for entry in self._requests if entry[1] is None)
        oldest: Exchange | None = next((e for e in exchanges if isinstance(e, Exchange)), None)
        if oldest is None:
            return
        if self._loop.time() >= oldest.deadline:
            oldest.set_exception(RequestTimedOutError())
            self.close(reason=CloseReason.CONNECTION_TIMEOUT)
        else:
            self._watchdog = self._loop.call_at(oldest.deadline, self._look_for_overdue)

    def _take_frame(self, frame: bytes) -> None:
        if self._reader is None:  # closed, by the frame before this one perhaps
            return
        try:
            number, request, exchange = self._requests[0]
            if request is not None or number is None:
                self._handle_frame(frame)
                return
            if int.from_bytes(frame[:4], "big") != number:
                raise CorrelationIdError(f"expected the answer to request {number}")
            self._requests.popleft()
            self._last_action = time.monotonic()
        except Exception as error:
            logger.exception("cannot read the answer of %s:%s", self._host, self._port)
            self.close(reason=CloseReason.OUT_OF_SYNC, exc=error)
            return
        exchange.answer(frame)
