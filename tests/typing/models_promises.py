"""Records are dataclasses to a type checker, and fields have the types they say (issue 4, Types)."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Generic, TypeVar, assert_type

import faust
from faust.models.fields import DecimalField, FieldDescriptor, IntegerField, StringField
from faust.models.tags import Secret

T = TypeVar("T")


class Account(faust.Record, serializer="json", coerce=True):
    id: str
    balance: Decimal
    note: str | None = None


class Premium(Account, namespace="bank.Premium"):
    rate: float = 0.0


class Box(faust.Record, Generic[T]):
    item: T


class Described(faust.Record, validation=True):
    name: str = StringField(max_length=10, input_name="Name")
    amount: Decimal = DecimalField(max_digits=5)
    rate: int = IntegerField(min_value=0, required=False, default=3)
    plain: str = FieldDescriptor(exclude=True, default="", required=False)


class User(faust.Record):
    pin: Secret[int]


class Capital(FieldDescriptor[str]):
    """A descriptor of the user's own."""

    def __init__(self, prefix: str = "", **options: Any) -> None:
        self.prefix = prefix
        super().__init__(prefix=prefix, **options)

    def validate(self, value: str) -> Iterator[faust.ValidationError]:
        """Check the prefix."""
        if not value.startswith(self.prefix):
            yield self.validation_error("wrong prefix")


account = Account("a", Decimal(1))
assert_type(account.id, str)
assert_type(account.balance, Decimal)
assert_type(account.note, str | None)
assert_type(Account(id="a", balance=Decimal(1), note=None), Account)
assert_type(Premium("a", Decimal(1), None, 0.5).rate, float)
assert_type(account.derive(note="x"), Account)
assert_type(account.asdict(), dict[str, Any])
assert_type(account.validate(), list[faust.ValidationError])
assert_type(account.is_valid(), bool)
assert_type(Box(3).item, int)
assert_type(Box[str]("x").item, str)

described = Described("a", Decimal(1))
assert_type(described.name, str)
assert_type(described.amount, Decimal)
assert_type(Described("a", Decimal(1), 5, "x").rate, int)
