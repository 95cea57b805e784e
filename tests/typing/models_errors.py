"""Mistakes with records that a type checker finds before the program runs (issue 4, Types)."""

from decimal import Decimal

import faust
from faust.models.fields import IntegerField, StringField


class Account(faust.Record):
    id: str
    balance: Decimal
    note: str | None = None


class Described(faust.Record):
    name: str = StringField(max_length=10)
    rate: int = IntegerField(required=False, default=3)


account = Account("a", Decimal(1))
Account("a")  # error: call-arg | reportCallIssue
Account(1, Decimal(1))  # error: arg-type | reportArgumentType
Account("a", Decimal(1), nope=3)  # error: call-arg | reportCallIssue
Account("a", Decimal(1), None, 4)  # error: call-arg | reportCallIssue
number: int = account.id  # error: assignment | reportAssignmentType
account.balance = "1"  # error: assignment | reportAttributeAccessIssue
print(account.nope)  # error: attr-defined | reportAttributeAccessIssue
Described()  # error: call-arg | reportCallIssue
Described("a", "b")  # error: arg-type | reportArgumentType
StringField(max_length="long")  # error: arg-type | reportArgumentType
