"""Types of other libraries (issue 4): dataclasses, msgspec.Struct, TypedDict, pydantic and plain types."""

from __future__ import annotations

import datetime as dt
import sys
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any, Literal, NamedTuple, TypedDict
from uuid import UUID

import attrs
import msgspec
import pydantic
import pytest

from faust import Record
from faust.exceptions import ImproperlyConfigured, KeyDecodeError, ValueDecodeError
from faust.serializers import codecs
from faust.serializers.registry import Registry

UTC = dt.UTC


class Colour(Enum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


class Loose(Record, namespace="test.foreign.Loose"):
    x: int


class Item(msgspec.Struct):
    price: Decimal
    tags: list[str] = []


class Event(msgspec.Struct, rename="camel", tag="event", omit_defaults=True):
    event_id: UUID
    happened: dt.datetime
    parent: Event | None = None


@dataclass
class Order:
    account: str
    items: list[Item] = field(default_factory=list)
    notes: dict[str, Item] = field(default_factory=dict)
    inner: Loose | None = None


@dataclass
class Everything:
    when: dt.datetime
    day: dt.date
    hour: dt.time
    took: dt.timedelta
    blob: bytes
    colour: Colour
    level: Level
    mode: Literal["a", "b"]
    either: int | str
    pair: tuple[int, str]
    members: set[int]
    by_day: dict[dt.date, int]
    _secret: int = 0


@attrs.define
class Attrs:
    x: int
    y: str = "y"


class Mixed(msgspec.Struct):
    """A struct with what msgspec alone does not know."""

    small: Small
    loose: Loose


class Options(TypedDict, total=False):
    a: int
    when: dt.datetime


class Pair(NamedTuple):
    left: int
    right: str = "r"


class Account(pydantic.BaseModel):
    id: UUID
    opened: dt.datetime
    balance: Decimal = Decimal(0)
    tags: set[str] = set()
    owner_name: str = pydantic.Field(default="", alias="ownerName")


@pydantic.dataclasses.dataclass
class Small:
    x: int
    y: bytes = b"y"


UUID1 = UUID(int=1)
ID = str(UUID1).encode()
WHEN = dt.datetime(2020, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
ITEM = Item(Decimal("1.10"), ["a"])
EVERYTHING = Everything(
    when=WHEN,
    day=dt.date(2020, 1, 2),
    hour=dt.time(1, 2, 3),
    took=dt.timedelta(days=1, seconds=2.5),
    blob=b"\x00\xff",
    colour=Colour.RED,
    level=Level.HIGH,
    mode="b",
    either="text",
    pair=(1, "one"),
    members={1, 2},
    by_day={dt.date(2020, 1, 2): 5},
    _secret=7,
)

VALUES: list[tuple[Any, Any]] = [
    (Order, Order("a", [ITEM], {"n": ITEM}, Loose(x=1))),
    (Everything, EVERYTHING),
    (Attrs, Attrs(1)),
    (Item, ITEM),
    (Event, Event(UUID1, WHEN, Event(UUID1, WHEN))),
    (Mixed, Mixed(Small(1), Loose(x=2))),
    (Options, {"a": 1, "when": WHEN}),
    (Pair, Pair(1, "b")),
    (Account, Account(id=UUID1, opened=WHEN, balance=Decimal("1.5"), tags={"x"}, ownerName="é")),
    (Small, Small(1, b"z")),
    (list[int], [1, 2]),
    (dict[str, float], {"a": 1.5, "b": 1e100}),
    (dict[int, list[str]], {1: ["a"]}),
    (dict[UUID, int], {UUID1: 1}),
    (dict[Decimal, int], {Decimal("1.5"): 1}),
    (set[int], {1, 2}),
    (frozenset[str], frozenset({"a"})),
    (tuple[int, ...], (1, 2, 3)),
    (tuple[int, str], (1, "a")),
    (list[bytes], [b"\xff"]),
    (list[Decimal], [Decimal("1.10")]),
    (list[Account], [Account(id=UUID1, opened=WHEN)]),
    (list[Loose], [Loose(x=1)]),
    (dict[str, Loose], {"a": Loose(x=1)}),
    (int | None, None),
    (int | str, "a"),
    (Colour, Colour.RED),
    (Level, Level.HIGH),
    (Literal["a", "b"], "b"),
    (UUID, UUID1),
    (dt.datetime, WHEN),
    (dt.datetime, dt.datetime(2020, 1, 2, 3, 4, 5)),  # noqa: DTZ001 - naive on purpose
    (dt.date, dt.date(2020, 1, 2)),
    (dt.time, dt.time(1, 2, 3, 4)),
    (dt.timedelta, dt.timedelta(hours=-1)),
    (bool, True),
    (type(None), None),
]
IDS = [f"{number}-{getattr(typ, '__name__', typ)}" for number, (typ, _) in enumerate(VALUES)]
CODECS = ["json", "json|binary", "json|gzip", "json|zstd|binary", "yaml", "pickle_restricted"]


@pytest.fixture
def registry() -> Registry:
    """The registry that an application has by default."""
    return Registry(key_serializer="raw", value_serializer="json")


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize(("typ", "value"), VALUES, ids=IDS)
def test_round_trip(registry: Registry, typ: Any, value: Any, codec: str) -> None:
    """What a type writes it reads again, through every codec (issue 4, foreign types)."""
    data = registry.dumps_value(typ, value, serializer=codec)
    assert type(data) is bytes
    read = registry.loads_value(typ, data, serializer=codec)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(("typ", "value"), VALUES, ids=IDS)
def test_keys_need_no_serializer(registry: Registry, typ: Any, value: Any) -> None:
    """As a key type it is JSON by itself: the default codec of keys, raw, could not write it."""
    if value is not None:
        data = registry.dumps_key(typ, value)
        assert data == registry.dumps_key(typ, value, serializer="json")
        assert registry.loads_key(typ, data) == value


@pytest.mark.parametrize(
    ("typ", "value"),
    [
        (dict[str, float], {"a": 1e100}),
        (list[float], [1e16, 0.1]),
        (tuple[int, str], (1, "é")),
        (Pair, Pair(1)),
        (dt.datetime, WHEN),
        (UUID, UUID1),
        (Colour, Colour.RED),
        (Order, Order("a", [ITEM], inner=Loose(x=1))),
        (Item, ITEM),
        (Account, Account(id=UUID1, opened=WHEN)),
    ],
    ids=str,
)
def test_typed_and_untyped_writers_agree(registry: Registry, typ: Any, value: Any) -> None:
    """Whether the writer has declared the type makes no difference to the bytes."""
    assert registry.dumps_value(typ, value) == registry.dumps_value(None, value)


@pytest.mark.parametrize(
    ("typ", "value", "wire"),
    [
        (Item, ITEM, b'{"price":"1.10","tags":["a"]}'),
        (
            Event,
            Event(UUID1, WHEN),
            b'{"type":"event","eventId":"%s","happened":"2020-01-02T03:04:05.000006Z"}' % ID,
        ),
        (list[bytes], [b"\xff"], b'["/w=="]'),
        (dt.timedelta, dt.timedelta(days=1), b'"P1D"'),
        (Pair, Pair(1, "b"), b'[1,"b"]'),
        (Attrs, Attrs(1), b'{"x":1,"y":"y"}'),
        (
            Account,
            Account(id=UUID1, opened=WHEN, ownerName="x"),
            b'{"id":"%s","opened":"2020-01-02T03:04:05.000006Z","balance":"0","tags":[],"ownerName":"x"}'
            % ID,
        ),
    ],
    ids=str,
)
def test_wire(registry: Registry, typ: Any, value: Any, wire: bytes) -> None:
    """Structs and pydantic models are written under the names that they are read by."""
    assert registry.dumps_value(typ, value) == wire


@pytest.mark.parametrize(
    ("typ", "data", "expected"),
    [
        (UUID, b"00000000-0000-0000-0000-000000000001", UUID1),
        (dt.date, b"2020-01-02", dt.date(2020, 1, 2)),
        (Colour, b"red", Colour.RED),
        (bool, b"true", True),
        (Level, b"3", Level.HIGH),
    ],
)
def test_raw_text(registry: Registry, typ: Any, data: bytes, expected: Any) -> None:
    """Under the codec raw the bytes are text, which is read as the type."""
    assert registry.loads_key(typ, data, serializer="raw") == expected


@pytest.mark.parametrize(
    ("typ", "data", "path", "words"),
    [
        (
            Order,
            b'{"account":"a","items":[{"price":"1"},{"price":"2"},{"price":"3"},{"price":"abc"}]}',
            "items[3].price",
            "Order.items[3].price: expected decimal, got 'abc'",
        ),
        (
            Order,
            b'{"account":"a","notes":{"x":{"price":"1"},"y":{"price":true}}}',
            "notes['y'].price",
            "Order.notes['y'].price: expected decimal, got True",
        ),
        (
            Order,
            b'{"items":[]}',
            "",
            "not readable as Order: object missing required field account",
        ),
        (Order, b'{"account":"a","inner":{"x":1},"items":7}', "items", "expected array, got 7"),
        (Order, b"[]", "", "not readable as Order: expected object, got []"),
        (Order, b"{", "", "not readable as Order: DecodeError: Input data was truncated"),
        (dict[int, int], b'{"1":2,"a":3}', "", "the key 'a': expected int, got 'a'"),
        (dict[str, list[int]], b'{"a":[1,2,"x"]}', "['a'][2]", "['a'][2]: expected int, got 'x'"),
        (dict[str, list[int]], b'{"a":[1],"b":[1],"c":[0,null]}', "['c'][1]", "got None"),
        (Pair, b'["x"]', "[0]", "Pair[0]: expected int, got 'x'"),
        (UUID, b'"x"', "", "not readable as UUID: expected UUID, got 'x'"),
        (Item, b'{"price":1,"tags":"%s"}' % (b"x" * 300), "tags", "got '" + "x" * 99 + "..."),
        (
            Account,
            b'{"id":"00000000-0000-0000-0000-000000000001","opened":"never","balance":"x"}',
            "opened",
            "Account.opened: input should be a valid datetime",
        ),
        (Account, b"{}", "id", "Account.id: field required (and 1 more)"),
        (Account, b"{", "", "not readable as Account: invalid JSON"),
        (list[Account], b'[{"id":1}]', "[0].id", "[0].id: "),
    ],
)
@pytest.mark.parametrize("codec", ["json", "json|gzip"])
def test_errors_name_the_field(
    registry: Registry, typ: Any, data: bytes, path: str, words: str, codec: str
) -> None:
    """An error says which field, what was expected and what was found (issue 4, errors)."""
    if codec == "json|gzip":
        data = codecs.gzip().dumps(data)
    with pytest.raises(ValueDecodeError) as caught:
        registry.loads_value(typ, data, serializer=codec)
    error = caught.value
    assert words in str(error)
    assert (error.field_path, error.type, error.payload) == (path, typ, data[:200])
    assert error.__cause__ is not None
    with pytest.raises(KeyDecodeError, match="cannot decode key"):
        registry.loads_key(typ, data, serializer=codec)


@pytest.mark.parametrize("typ", [object, list[object], complex, dict[str, complex], Registry])
def test_impossible_types(registry: Registry, typ: Any) -> None:
    """A type that nobody can build is refused before the first message, with advice."""
    with pytest.raises(ImproperlyConfigured, match=r"Use a faust\.Record, a dataclass"):
        registry.compile_loads(typ)


def test_null(registry: Registry) -> None:
    """A message without value fits only types that have None."""
    assert registry.loads_value(Item | None, None) is None
    for typ in (Item, Account, Order, list[int]):
        with pytest.raises(ValueDecodeError, match="it is null"):
            registry.loads_value(typ, None)


def test_structs_without_a_declared_type(registry: Registry) -> None:
    """Structs and pydantic models are written by themselves, also deep inside of plain data."""
    account = Account(id=UUID1, opened=WHEN)
    written = registry.dumps_value(None, {"s": [ITEM], "p": account, "d": Small(1)})
    assert written == (
        b'{"s":[{"price":"1.10","tags":["a"]}],"p":'
        + account.model_dump_json(by_alias=True).encode()
        + b',"d":{"x":1,"y":"b\'y\'"}}'
    )


def test_a_codec_of_ones_own_gets_plain_objects(registry: Registry) -> None:
    """A codec that is not JSON is given mappings and lists, and need not know the type."""
    seen: list[Any] = []

    class Spy(codecs.Codec):
        def _dumps(self, obj: Any) -> bytes:
            seen.append(obj)
            return b"x"

        def _loads(self, data: bytes) -> Any:
            return seen[-1]

    for typ, value in ((Item, ITEM), (Account, Account(id=UUID1, opened=WHEN)), (Attrs, Attrs(1))):
        assert (
            registry.loads_value(
                typ, registry.dumps_value(typ, value, serializer=Spy()), serializer=Spy()
            )
            == value
        )
    assert seen[0] == {"price": "1.10", "tags": ["a"]}
    assert seen[2] == {"x": 1, "y": "y"}


@pytest.fixture
def without_pydantic(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python as if pydantic were not installed."""
    monkeypatch.setitem(sys.modules, "pydantic", None)


@pytest.mark.usefixtures("without_pydantic")
def test_pydantic_is_not_needed_by_others(registry: Registry) -> None:
    """Everything but pydantic's own models works without it."""

    class Fresh(msgspec.Struct):
        x: int

    assert registry.loads_value(Fresh, registry.dumps_value(Fresh, Fresh(1))) == Fresh(1)
