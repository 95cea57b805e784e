"""A bad network on loopback: a TCP proxy that delays, stalls, slows down, cuts and refuses.

A worker reaches its broker through it. Kafka's clients learn the addresses of brokers from the brokers, so each broker must
*advertise* the address of its proxy (setting ``advertised.listeners`` of Kafka) and listen somewhere else.

A lost packet is not visible above TCP: what loss does to a program is that bytes come late. `Proxy.stall` is that, without
end: connections stay open, and nothing passes.

Of what passes only one thing is understood: a request of Kafka's protocol begins with its size (4 bytes) and its API key (2
bytes). So `Proxy.mute` can leave one kind of request unanswered, and `Proxy.cut_at` reset the connections that carry one.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Callable, Iterator
from socket import SO_LINGER, SOL_SOCKET
from time import monotonic

__all__ = ["Proxy"]

CHUNK = 64 * 1024
HEAD = struct.Struct(">ih")
"""Size of a request, without the four bytes themselves, and its API key."""
BUFFERED = 64
"""Chunks that may be under way in one direction of one connection."""


class Proxy:
    """Passes connections on to one address.

    Arguments:
        port: Where the connections go, on this machine.
        listen: Where it listens, on this machine; 0: anywhere free (see the attribute of that name after `start`).

    Attributes:
        delay: Seconds that every byte is under way.
        bandwidth: Bytes per second in each direction of each connection; None: unlimited.
    """

    def __init__(self, port: int, *, listen: int = 0) -> None:
        self.port: int = port
        self.listen: int = listen
        self.delay: float = 0.0
        self.bandwidth: float | None = None
        self._flows = asyncio.Event()
        self._flows.set()
        self._refuses = False
        self._muted: frozenset[int] = frozenset()
        self._cut_at: frozenset[int] = frozenset()
        self._answers: set[asyncio.Event] = set()
        """One per connection: set while answers pass."""
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.listen)
        self.listen = int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Cut everything and listen no more."""
        if self._server is not None:
            self._server.close()
        self.cut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # -- faults

    def stall(self) -> None:
        """Let nothing pass, and keep every connection open."""
        self._flows.clear()

    def cut(self) -> None:
        """Reset every connection; new ones are welcome."""
        for writer in list(self._connections):
            _reset(writer)

    def refuse(self) -> None:
        """Reset every connection, and every new one."""
        self._refuses = True
        self.cut()

    def mute(self, *api_keys: int) -> None:
        """Let no answer pass on a connection that carries such a request, from that request on.

        Other connections are not hurt. API keys are Kafka's, such as 12 for Heartbeat.
        """
        self._muted = frozenset(api_keys)

    def cut_at(self, *api_keys: int) -> None:
        """Reset each connection that carries such a request; the request itself gets through or not.

        Other connections are not hurt, and new ones are welcome. API keys are Kafka's, such as 10 for FindCoordinator.
        """
        self._cut_at = frozenset(api_keys)

    def heal(self) -> None:
        """Undo every fault."""
        self.delay, self.bandwidth, self._refuses = 0.0, None, False
        self._muted = self._cut_at = frozenset()
        for answers in self._answers:
            answers.set()
        self._flows.set()

    # -- passing on

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass one connection on until either end is closed."""
        if self._refuses:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            writer.transport.abort()
            return
        self._connections |= {writer, far_writer}
        answers, requests = asyncio.Event(), _Requests()
        answers.set()
        self._answers.add(answers)

        def look(data: bytes) -> None:
            keys = set(requests.feed(data))
            if keys & self._muted:
                answers.clear()
            if keys & self._cut_at:
                _reset(writer)

        pumps = [
            self._pump(reader, far_writer, look=look),
            self._pump(far_reader, writer, gate=answers),
        ]
        tasks = [asyncio.create_task(pump) for pump in pumps]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            self._answers.discard(answers)
            for one in (writer, far_writer):
                self._connections.discard(one)
                one.transport.abort()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        look: Callable[[bytes], None] | None = None,
        gate: asyncio.Event | None = None,
    ) -> None:
        """Move bytes in one direction until either end is closed."""
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(BUFFERED)
        writing = asyncio.create_task(self._write(under_way, writer, gate))
        try:
            while data := await reader.read(CHUNK):
                if look is not None:
                    look(data)
                for piece in self._pieces(data):
                    await under_way.put((monotonic() + self.delay, piece))
            await under_way.put((monotonic() + self.delay, b""))
            await writing
        except OSError:
            pass  # that is what a reset looks like; who waits sees the end of this task
        finally:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        """Divide what is slowed down, so that it arrives bit by bit."""
        size = CHUNK if self.bandwidth is None else max(1, int(self.bandwidth / 20))
        return (data[start : start + size] for start in range(0, len(data), size))

    async def _write(
        self,
        under_way: asyncio.Queue[tuple[float, bytes]],
        writer: asyncio.StreamWriter,
        gate: asyncio.Event | None,
    ) -> None:
        while True:
            due, data = await under_way.get()
            await asyncio.sleep(max(0.0, due - monotonic()))
            await self._flows.wait()
            if gate is not None:
                await gate.wait()
            if not data:
                return
            writer.write(data)
            await writer.drain()
            if self.bandwidth is not None:
                await asyncio.sleep(len(data) / self.bandwidth)


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection at once, and tell the other end that this was no farewell (RST)."""
    with contextlib.suppress(OSError):
        writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class _Requests:
    """Finds the API keys of requests in the bytes that a client sends, however they are cut up."""

    def __init__(self) -> None:
        self._head = b""
        self._rest = 0
        """Bytes of the request under way that are still to come."""

    def feed(self, data: bytes) -> Iterator[int]:
        """Return the keys of the requests that begin in *data*."""
        at = 0
        while at < len(data):
            if self._rest:
                step = min(self._rest, len(data) - at)
                self._rest -= step
                at += step
                continue
            missing = HEAD.size - len(self._head)
            self._head += data[at : at + missing]
            at += missing
            if len(self._head) == HEAD.size:
                size, key = HEAD.unpack(self._head)
                self._head, self._rest = b"", max(0, size - 2)
                yield key
