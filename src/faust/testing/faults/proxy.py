"""A bad network on loopback: a TCP proxy that delays, stalls, slows down, cuts and refuses.

A worker reaches its broker through it. Kafka's clients learn the addresses of brokers from the brokers, so each broker must
*advertise* the address of its proxy (setting ``advertised.listeners`` of Kafka) and listen somewhere else.

A lost packet is not visible above TCP: what loss does to a program is that bytes come late. `Proxy.stall` is that, without
end: connections stay open, and nothing passes.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Iterator
from socket import SO_LINGER, SOL_SOCKET
from time import monotonic

__all__ = ["Proxy"]

CHUNK = 64 * 1024
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
            with contextlib.suppress(OSError):
                writer.get_extra_info("socket").setsockopt(
                    SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0)
                )
            writer.transport.abort()

    def refuse(self) -> None:
        """Reset every connection, and every new one."""
        self._refuses = True
        self.cut()

    def heal(self) -> None:
        """Undo every fault."""
        self.delay, self.bandwidth, self._refuses = 0.0, None, False
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
        pumps = [self._pump(reader, far_writer), self._pump(far_reader, writer)]
        tasks = [asyncio.create_task(pump) for pump in pumps]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            for one in (writer, far_writer):
                self._connections.discard(one)
                one.transport.abort()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Move bytes in one direction until either end is closed."""
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(BUFFERED)
        writing = asyncio.create_task(self._write(under_way, writer))
        try:
            while data := await reader.read(CHUNK):
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
        self, under_way: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter
    ) -> None:
        while True:
            due, data = await under_way.get()
            await asyncio.sleep(max(0.0, due - monotonic()))
            await self._flows.wait()
            if not data:
                return
            writer.write(data)
            await writer.drain()
            if self.bandwidth is not None:
                await asyncio.sleep(len(data) / self.bandwidth)
