"""Mistakes that a type checker finds before the program runs (issue 4, Types)."""

import faust

faust.App("shop", brokr="kafka://")  # error: call-arg | reportCallIssue
faust.App("shop", topic_partitions=[])  # error: arg-type | reportArgumentType
faust.App()  # error: call-arg | reportCallIssue

app = faust.App("shop")
app.topic("orders", value_typ=int)  # error: call-overload | reportCallIssue
app.topic("orders", partitions="three")  # error: call-overload | reportArgumentType
app.Table("totals", initial=int)  # error: call-overload | reportCallIssue
app.agent("orders", parallel=2)  # error: call-overload | reportCallIssue

orders = app.topic("orders", key_type=str, value_type=int)
totals = app.Table("totals", key_type=str, value_type=int)


def typed() -> faust.Topic[str, str]:
    """Another value type is another topic."""
    return orders  # error: return-value | reportReturnType


@app.agent(orders)  # error: arg-type | reportArgumentType
async def wrong(stream: faust.Stream[str]) -> None:
    """The agent of a topic of numbers reads numbers."""


def table() -> None:
    """Keys and values of a table have types."""
    totals["a"] = "one"  # error: assignment | reportArgumentType
    totals[1] += 1  # error: index | reportArgumentType
