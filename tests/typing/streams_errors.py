"""Mistakes with streams and topics that a type checker finds before the program runs (issue 5)."""

import faust

app = faust.App("streams")
numbers = app.topic("numbers", value_type=int)


async def wrong(stream: faust.Stream[int]) -> None:
    """Arguments have types."""
    stream.take("10")  # error: arg-type | reportArgumentType
    stream.take()  # error: call-arg | reportCallIssue
    stream.group_by(str, label="n")  # error: call-arg | reportCallIssue
    stream.derive_topic()  # error: call-arg | reportCallIssue
    async for values in stream.take(3):
        values.upper()  # error: attr-defined | reportAttributeAccessIssue


async def sending() -> None:
    """Sends take keywords."""
    await numbers.send("key", 1)  # error: call-arg | reportCallIssue
    numbers.send_soon(payload=1)  # error: call-arg | reportCallIssue
