"""Arbitrary bytes into every decoder give the documented error or a value, never anything else.

Run it as a command: ``python -m tests.fuzz.decoders --inputs 1000000 --seed 1``. What fails is shown
with the number of its input, which ``--only NUMBER`` repeats alone. A decoder that has not answered
after a minute ends the run with a traceback of where it hangs.

The unrestricted pickle is left out: running whatever it is given is what it does.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import faulthandler
import io
import random
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from enum import Enum
from functools import partial
from typing import Any, NamedTuple, TypedDict
from uuid import UUID

import msgspec
import pydantic

from faust import Record
from faust.assignor import wire
from faust.exceptions import KeyDecodeError, ValueDecodeError
from faust.messages import TP
from faust.models.dates import parse_iso8601
from faust.serializers.decoders import untyped_json_decoder
from faust.serializers.registry import Registry
from faust.tables.codec import TableCodec
from faust.utils import json
from tests.fuzz.inputs import Inputs

__all__ = ["Report", "decoders", "fuzz"]

HANGS_AFTER = 60.0
"""Seconds for a thousand inputs."""

CODECS = [
    "raw",
    "json",
    "binary",
    "yaml",
    "gzip",
    "zstd",
    "pickle_restricted",
    "pickle_fickling",
    "json|binary",
    "json|gzip",
    "json|zstd",
]


class Inner(Record, namespace="test.fuzz.Inner"):
    x: int
    price: Decimal | None = None


class Outer(
    Record,
    namespace="test.fuzz.Outer",
    isodates=True,
    decimals=True,
    coerce=True,
    serializer="json",
):
    id: str
    account: str = ""
    when: dt.datetime | None = None
    items: list[Inner] = []  # noqa: RUF012 - a field of a model
    notes: dict[str, Inner] = {}  # noqa: RUF012 - a field of a model
    inner: Inner | None = None


class Colour(Enum):
    RED = "red"


class Item(msgspec.Struct):
    price: Decimal
    when: dt.datetime | None = None


@dataclass
class Order:
    account: str
    items: list[Item] = field(default_factory=list)
    notes: dict[str, Item] = field(default_factory=dict)
    inner: Inner | None = None


class Options(TypedDict, total=False):
    a: int
    x: float


class Pair(NamedTuple):
    left: int
    right: str = ""


class Account(pydantic.BaseModel):
    id: UUID
    items: list[int] = []


TYPES: list[Any] = [
    None, int, float, Decimal, str, bytes, Inner, Outer, list[Inner], Order, Item, Options, Pair, Account,
    list[Account], list[int], dict[str, float], dict[int, list[str]], set[str], tuple[int, str], int | str | None,
    Colour, UUID, dt.datetime, dt.date, dt.timedelta, bool,
]  # fmt: skip


SAMPLES = [
    b'{"x":1,"price":"1.10","__faust":{"ns":"test.fuzz.Inner"}}',
    b'{"id":"a","account":"b","when":"2020-01-02T03:04:05Z","items":[{"x":1,"price":"2.5"}]}',
    b'{"id":"a","notes":{"n":{"x":2}},"inner":{"x":3},"__faust":{"ns":"test.fuzz.Outer"}}',
    b'{"account":"a","items":[{"price":"1"},{"price":"2","when":"2020-01-02T03:04:05Z"}]}',
    b'{"account":"a","notes":{"n":{"price":"1"}},"inner":{"x":1}}',
    b'{"price":"1.5","when":"2020-01-02T03:04:05.000006+02:00"}',
    b'{"a":1,"x":1.5}',
    b'[1,"b"]',
    b'{"id":"00000000-0000-0000-0000-000000000001","items":[1,2]}',
    b'[{"id":"00000000-0000-0000-0000-000000000001"}]',
    b"[1,2,3]",
    b'{"1":["a","b"]}',
    b'"red"',
    b'"2020-01-02"',
    b'"P1DT2S"',
    b"null",
    b'"1.10"',
    b'[1,[["a"],["b"]]]',
]
"""JSON that at least one of the types reads."""


class Decoder(NamedTuple):
    """Something that takes bytes, and the errors it may raise."""

    name: str
    decode: Callable[[bytes], Any]
    errors: tuple[type[Exception], ...]


def decoders() -> list[Decoder]:
    """Return everything that reads bytes which others have written."""
    registry = Registry(key_serializer="raw", value_serializer="json")
    found: list[Decoder] = []
    for codec in CODECS:
        for typ in TYPES:
            name = f"{codec} to {getattr(typ, '__name__', typ)}"
            value = registry.compile_loads(typ, codec)
            key = registry.compile_loads(typ, codec, key=True)
            found += [
                Decoder(f"value: {name}", value, (ValueDecodeError,)),
                Decoder(f"key: {name}", key, (KeyDecodeError,)),
            ]
    for typ in TYPES:
        name = getattr(typ, "__name__", str(typ))
        table_key, table_value = _of_a_table(registry, typ)
        found.append(Decoder(f"table key: {name}", table_key, (KeyDecodeError,)))
        found.append(Decoder(f"table value: {name}", table_value, (ValueDecodeError,)))
    untyped = untyped_json_decoder(TP("t", 0))
    return [
        *found,
        Decoder("untyped JSON", lambda data: untyped(_message(data)), (ValueDecodeError,)),
        Decoder("json.loads", json.loads, (json.JSONDecodeError, UnicodeDecodeError)),
        Decoder("a date", lambda data: parse_iso8601(_text(data)), (ValueError,)),
        Decoder("a decimal", lambda data: json.str_to_decimal(_text(data)), (ValueError, InvalidOperation)),
        Decoder("a subscription", wire.decode_subscription, (wire.WireError,)),
        Decoder("an assignment", wire.decode_assignment, (wire.WireError,)),
        # the errors of the converters themselves (models.md 4.2)
        Decoder("a model", Outer.loads, (ValueError, TypeError, KeyError, AttributeError, ArithmeticError)),
    ]  # fmt: skip


def _of_a_table(
    registry: Registry, typ: Any
) -> tuple[Callable[[bytes], Any], Callable[[bytes], Any]]:
    """Return how a table of this type reads keys and values of its changelog."""
    tp = TP("t", 0)
    codec = TableCodec(registry, table="t", key_type=typ, value_type=typ)
    return partial(codec.decode_key, tp), partial(codec.decode_value, tp, "k")


class _Message(NamedTuple):
    value: bytes
    offset: int = 0


def _message(data: bytes) -> Any:
    return _Message(data)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


@dataclass
class Report:
    """What came of a run."""

    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    slowest: tuple[float, str] = (0.0, "")


def fuzz(numbers: range, *, seed: int, each: int = 6) -> Report:
    """Give every input to *each* decoders, chosen by its number; half of them read JSON."""
    inputs = Inputs(seed, SAMPLES)
    everything = decoders()
    of_json = [decoder for decoder in everything if ": json to" in decoder.name]
    report = Report()
    for number in numbers:
        if number % 1000 == 0:
            faulthandler.dump_traceback_later(HANGS_AFTER, exit=True, file=2)
        data = inputs[number]
        pick = random.Random(-number - 1)
        for decoder in pick.sample(everything, each - each // 2) + pick.sample(of_json, each // 2):
            _try(decoder, data, number, report)
    faulthandler.cancel_dump_traceback_later()
    return report


def _try(decoder: Decoder, data: bytes, number: int, report: Report) -> None:
    began = time.perf_counter()
    try:
        decoder.decode(data)
        outcome = "value"
    except decoder.errors:
        outcome = "error"
    except BaseException as exc:
        outcome = "failure"
        report.failures.append(
            f"input {number}, {decoder.name}: {type(exc).__name__}: {exc} for {data[:100]!r}"
        )
    report.outcomes[outcome] += 1
    took = time.perf_counter() - began
    if took > report.slowest[0]:
        report.slowest = (took, f"{decoder.name}, input {number}, {len(data)} bytes")


def main(arguments: list[str]) -> int:
    """Run for as many inputs as asked for; 1 when something failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.decoders", description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="repeat this input with every decoder")
    chosen = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    numbers = range(chosen.inputs)
    each = 6
    if chosen.only is not None:
        numbers, each = range(chosen.only, chosen.only + 1), 100
    began = time.perf_counter()
    with contextlib.redirect_stderr(io.StringIO()):  # fickling speaks of what it sees
        report = fuzz(numbers, seed=chosen.seed, each=each)
    took = time.perf_counter() - began
    print(
        f"{len(numbers)} inputs in {took:.0f} s: {dict(report.outcomes)}; "
        f"slowest {report.slowest[0] * 1000:.0f} ms ({report.slowest[1]})"
    )
    for failure in report.failures[:50]:
        print(failure)
    return 1 if report.failures else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
