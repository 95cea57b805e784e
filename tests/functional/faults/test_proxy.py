"""`faust.testing.faults.Proxy`: what each fault of the network does to a connection that passes through it."""

from __future__ import annotations

import asyncio
import contextlib
import struct
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from faust.testing.faults import Proxy


@pytest_asyncio.fixture
async def proxy() -> AsyncIterator[Proxy]:
    """A proxy in front of a server that says everything back."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    made = Proxy(server.sockets[0].getsockname()[1])
    await made.start()
    yield made
    await made.close()
    server.close()


class Caller:
    """One connection through a proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ask(self, data: bytes = b"hello") -> float:
        """Send something, read it back; return how long that took."""
        began = time.monotonic()
        self.writer.write(data)
        assert await self.reader.readexactly(len(data)) == data
        return time.monotonic() - began


@contextlib.asynccontextmanager
async def call(proxy: Proxy) -> AsyncIterator[Caller]:
    """Connect."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.listen)
    try:
        yield Caller(reader, writer)
    finally:
        writer.close()


async def test_it_passes_on(proxy: Proxy) -> None:
    """Without a fault every byte arrives, in both directions and in order, also many of them."""
    async with call(proxy) as caller:
        await caller.ask()
        await caller.ask(bytes(range(256)) * 20_000)
        caller.writer.write_eof()
        assert await caller.reader.read() == b""


async def test_delay_and_bandwidth(proxy: Proxy) -> None:
    """A delay is paid by each byte once per direction; a bandwidth by the number of bytes; `heal` undoes both."""
    async with call(proxy) as caller:
        proxy.delay = 0.3
        assert await caller.ask() >= 0.6
        proxy.heal()
        proxy.bandwidth = 100_000.0
        assert await caller.ask(bytes(50_000)) >= 0.4
        proxy.heal()
        assert await caller.ask() < 0.3


async def test_stall(proxy: Proxy) -> None:
    """While it stalls nothing arrives and nothing breaks; afterwards all of it arrives."""
    async with call(proxy) as caller:
        proxy.stall()
        asking = asyncio.create_task(caller.ask())
        await asyncio.sleep(0.3)
        assert not asking.done()
        proxy.heal()
        assert await asking >= 0.3


async def test_cut_and_refuse(proxy: Proxy) -> None:
    """A cut resets what is there and accepts what comes; a refusal resets both, until `heal`."""
    async with call(proxy) as caller:
        await caller.ask()
        proxy.cut()
        with pytest.raises((OSError, asyncio.IncompleteReadError)):
            await caller.ask()
    async with call(proxy) as caller:
        await caller.ask()
    proxy.refuse()
    with pytest.raises((OSError, asyncio.IncompleteReadError)):
        async with call(proxy) as caller:
            await caller.ask()
    proxy.heal()
    async with call(proxy) as caller:
        await caller.ask()


def request(api_key: int) -> bytes:
    """Return what begins like a request of Kafka's protocol."""
    return struct.pack(">ihhi", 100, api_key, 1, 7) + bytes(92)


async def test_it_cuts_connections_that_carry_one_kind_of_request(proxy: Proxy) -> None:
    """Such a connection is reset, whatever else it carried; another one is not, and new ones are welcome."""
    async with call(proxy) as one, call(proxy) as other:
        proxy.cut_at(10)
        await one.ask(request(9))
        with pytest.raises((OSError, asyncio.IncompleteReadError)):
            await one.ask(request(9) + request(10))
        await other.ask(request(9))
        proxy.heal()
        await other.ask(request(10))


async def test_it_leaves_one_kind_of_request_unanswered(proxy: Proxy) -> None:
    """Muted for heartbeats, a connection gets no answer from its next one on, others do; healed, it is given what was kept."""
    async with call(proxy) as one, call(proxy) as other:
        await one.ask(request(12))
        proxy.mute(12)
        await one.ask(request(9))
        said = request(9) + request(12)
        for part in (said[:-100], said[-100:-99], said[-99:]):  # the head comes in pieces
            one.writer.write(part)
            await asyncio.sleep(0.05)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await one.reader.readexactly(len(said))
        await other.ask(request(9))
        proxy.heal()
        assert await one.reader.readexactly(len(said)) == said
