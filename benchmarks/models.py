"""What models cost: one program for both sides, that measures when it is told to.

Run by ``python -m benchmarks.compare models`` under this project's Python and under that of
faust-streaming, each in a process of its own; the two take turns. On every line of standard input it
measures all operations once and prints nanoseconds per operation as one line of JSON. By itself::

    echo | python benchmarks/models.py

Every operation checks its result before it is timed.
"""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields
from time import perf_counter_ns
from typing import Any, List, Optional  # noqa: UP035 - both sides understand these

import faust

SECONDS = 0.05
"""How long one operation is measured each time."""


class Payment(faust.Record):
    """Four fields."""

    account: str
    amount: float
    quantity: int
    note: Optional[str] = None  # noqa: UP045


class Address(faust.Record):
    """Where something goes."""

    street: str
    city: str
    zip: str


class Item(faust.Record):
    """What somebody has ordered."""

    sku: str
    quantity: int
    price: float


class Order(faust.Record):
    """Twelve fields; one of them holds a record."""

    id: str
    account: str
    total: float
    currency: str
    address: Address
    channel: str
    created: str
    status: str
    tags: List[str]  # noqa: UP006
    paid: bool
    attempts: int
    note: Optional[str] = None  # noqa: UP045


class Basket(faust.Record):
    """A record with records in a list."""

    id: str
    items: List[Item]  # noqa: UP006


@dataclass
class PaymentData:
    """What the constructor is compared with."""

    account: str
    amount: float
    quantity: int
    note: Optional[str] = None  # noqa: UP045


@dataclass
class OrderData:
    """The same, of twelve fields."""

    id: str
    account: str
    total: float
    currency: str
    address: Any
    channel: str
    created: str
    status: str
    tags: Any
    paid: bool
    attempts: int
    note: Optional[str] = None  # noqa: UP045


PAYMENT = ("a-17", 12.5, 3, "by card")
ADDRESS = Address("Main Street 1", "Berlin", "10115")
ITEMS = [Item("apple", 1, 2.5), Item("pear", 2, 3.5), Item("plum", 3, 4.5)]
ORDER = (
    "o-4711",
    "a-17",
    99.5,
    "EUR",
    ADDRESS,
    "web",
    "2020-01-02T03:04:05Z",
    "new",
    ["new customer", "first"],
    True,
    1,
    "leave it at the door",
)


def codec_functions() -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """Return what gives the decoder and the encoder of a model, as topics use them."""
    registry = faust.App("models", broker="memory://").serializers
    compiled = getattr(registry, "compile_loads", None)
    if compiled is not None:
        return compiled, registry.compile_dumps

    def decoder(model: Any) -> Callable[[bytes], Any]:
        return lambda data: registry.loads_value(model, data)

    def encoder(model: Any) -> Callable[[Any], Any]:
        return lambda value: registry.dumps_value(model, value)

    return decoder, encoder


def everything(order: Any) -> list[Any]:
    """Read every field of an order, those of the records inside of it included."""
    address = order.address
    return [
        order.id,
        order.account,
        order.total,
        order.currency,
        (address.street, address.city, address.zip),
        order.channel,
        order.created,
        order.status,
        order.tags,
        order.paid,
        order.attempts,
        order.note,
    ]


def contents(basket: Any) -> list[Any]:
    """Read every field of a basket, and of what is in it."""
    return [basket.id, [(item.sku, item.quantity, item.price) for item in basket.items]]


def operations() -> dict[str, Callable[[], Any]]:
    """Return what is measured, by name, after looking at the results."""
    decoder, encoder = codec_functions()
    payment, order, basket = Payment(*PAYMENT), Order(*ORDER), Basket("b-1", ITEMS)
    small, large, many = encoder(Payment)(payment), encoder(Order)(order), encoder(Basket)(basket)
    read_small, read_large, read_many = decoder(Payment), decoder(Order), decoder(Basket)
    write_small, write_large, write_many = encoder(Payment), encoder(Order), encoder(Basket)
    assert read_small(small) == payment
    assert everything(read_large(large)) == everything(order)
    assert contents(read_many(many)) == contents(basket)
    assert json.loads(small)["note"] == "by card"
    assert json.loads(large)["address"]["city"] == "Berlin"
    assert json.loads(many)["items"][1]["sku"] == "pear"
    names = [field.name for field in fields(OrderData)]
    by_name = dict(zip(names, ORDER, strict=True))
    assert Order(**by_name) == order
    return {
        "decode, 4 fields": lambda: read_small(small),
        "decode, nested 12 fields": lambda: read_large(large),
        "decode and read, nested 12 fields": lambda: everything(read_large(large)),
        "decode, list of 3 records": lambda: read_many(many),
        "decode and read, list of 3 records": lambda: contents(read_many(many)),
        "encode, 4 fields": lambda: write_small(payment),
        "encode, nested 12 fields": lambda: write_large(order),
        "encode, list of 3 records": lambda: write_many(basket),
        "construct, 4 fields": lambda: Payment("a-17", 12.5, 3, "by card"),
        "construct, 4 fields by name": lambda: Payment(
            account="a-17", amount=12.5, quantity=3, note="by card"
        ),
        "construct, 12 fields": lambda: Order(*ORDER),
        "dataclass, 4 fields": lambda: PaymentData("a-17", 12.5, 3, "by card"),
        "dataclass, 4 fields by name": lambda: PaymentData(
            account="a-17", amount=12.5, quantity=3, note="by card"
        ),
        "dataclass, 12 fields": lambda: OrderData(*ORDER),
        "nothing": lambda: None,
    }


def measure(operation: Callable[[], Any]) -> float:
    """Return the best time of one call in nanoseconds, of as many tries as fit into `SECONDS`."""
    number, best = 200, float("inf")
    end = perf_counter_ns() + SECONDS * 1e9
    while perf_counter_ns() < end:
        start = perf_counter_ns()
        for _ in range(number):
            operation()
        best = min(best, (perf_counter_ns() - start) / number)
    return best


def main() -> None:
    """Measure once per line of standard input."""
    todo = operations()
    gc.collect()
    gc.freeze()
    for _ in sys.stdin:
        found = {name: measure(operation) for name, operation in todo.items()}
        idle = found.pop("nothing")
        print(json.dumps({name: value - idle for name, value in found.items()}), flush=True)


if __name__ == "__main__":
    main()
