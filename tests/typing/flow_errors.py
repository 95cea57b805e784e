"""Mistakes that a type checker finds before the program runs (issue 4, Types)."""

import faust

faust.App("shop", brokr="kafka://")  # error: call-arg | reportCallIssue
faust.App("shop", topic_partitions=[])  # error: arg-type | reportArgumentType
faust.App()  # error: call-arg | reportCallIssue


def typed(orders: faust.Topic[str, int]) -> faust.Topic[str, str]:
    """Another value type is another topic."""
    return orders  # error: return-value | reportReturnType
