"""models.md 10: values that must not end up in a log by accident."""

# mypy: disable-error-code="call-arg, arg-type, misc"

from __future__ import annotations

import types
from typing import Any, Optional

import pytest

from faust.exceptions import SecurityError
from faust.models import Record
from faust.models.tags import (
    OpaqueTag,
    Personal,
    Secret,
    Sensitive,
    Tag,
    TransparentTag,
    allow_protected_vars,
)
from faust.serializers.registry import Registry


class User(Record, namespace="spec10.User"):
    name: Personal[str]
    number: Sensitive[str]
    pin: Secret[int]
    token: Optional[Secret[str]] = None  # noqa: UP045
    plain: str = ""


class Order(Record, namespace="spec10.Order"):
    user: User
    users: list[User]
    note: str = ""


USER = {"name": "Ada", "number": "12-34", "pin": 1234}


def users() -> list[User]:
    """Make the user in every way."""
    return [
        User("Ada", "12-34", 1234),
        User.from_data(USER),
        Registry().loads_value(User, b'{"name":"Ada","number":"12-34","pin":1234}'),
    ]


def test_10_values_are_wrapped() -> None:
    """Reading a tagged field gives the tag, and no text of it shows the value (models.md 10)."""
    for user in users():
        assert (type(user.name), type(user.number), type(user.pin)) == (Personal, Sensitive, Secret)
        for tag in (user.name, user.number, user.pin):
            assert repr(tag).startswith(f"<{type(tag).__name__}: ")
        assert repr(user.pin) == f"<Secret: pin@{id(user.pin):#x}>"
        assert "Ada" not in repr(user)
        assert "1234" not in repr(user)
        assert user.plain == ""


def test_10_secret() -> None:
    """A secret is masked as text, and one call away (models.md 10)."""
    pin: Any = User("a", "b", 1234).pin
    assert str(pin) == "***********" == Secret.mask
    assert f"{pin:>12}" == " ***********"
    assert pin.get_value() == 1234


@pytest.mark.parametrize("name", ["name", "number"])
def test_10_opaque_tags(name: str) -> None:
    """Personal and sensitive values never become text (models.md 10)."""
    tag = getattr(User("Ada", "12-34", 1), name)
    for show in (str, format, lambda tag: f"{tag}", "{}".format):
        with pytest.raises(SecurityError, match="as a string"):
            show(tag)


def use(guard: Any) -> str:
    """Use a guard in another frame."""
    return str(guard)


def test_10_guards() -> None:
    """A guard is a string in the frame that asked for it, and an error in any other (models.md 10)."""
    user: Any = User("Ada", "12-34", 1)
    for guard in (user.name.get_value(), user.number.get_value()):
        text = str(guard)
        assert guard == text
        assert guard.upper() == text.upper()
        assert f"{guard}" == text
        assert text in {"Ada", "12-34"}
        assert len(guard) == len(text)
        assert text not in repr(guard)
        for elsewhere in (use, lambda it: it == "Ada", lambda it: f"{it}", lambda it: it.lower()):
            with pytest.raises(SecurityError, match="outside of the function"):
                elsewhere(guard)
        with allow_protected_vars():
            assert use(guard) == text
        with pytest.raises(SecurityError):
            use(guard)


def test_10_bytes_behind_a_guard() -> None:
    """Bytes are guarded as the text they encode (models.md 10)."""

    class Raw(Record):
        data: Sensitive[bytes]

    guard: Any = Raw(b"xyz").data.get_value()
    assert guard.encode() == b"xyz"


def test_10_plain_values_where_they_are_allowed() -> None:
    """Inside of `allow_protected_vars` personal values are plain (models.md 10)."""
    user: Any = User("Ada", "12-34", 1)
    with allow_protected_vars():
        assert type(user.name.get_value()) is str
        assert type(user.number.get_value()) is not str
    assert type(user.name.get_value()) is not str


@pytest.mark.parametrize("tag", [Sensitive, Personal])
def test_10_opaque_tags_are_of_text(tag: Any) -> None:
    """Opaque tags take text and bytes; a secret takes anything (models.md 10)."""
    assert tag[str]
    assert tag[bytes]
    assert Secret[list[int]] is not None
    with pytest.raises(TypeError, match="only supports str/bytes"):
        tag[int]


def test_10_wrapping_twice() -> None:
    """What is tagged is not tagged again (models.md 10)."""
    user: Any = User("Ada", "12-34", 1)
    with pytest.raises(SecurityError, match="already tagged"):
        User(user.name, "x", 1)
    with pytest.raises(SecurityError, match="already tagged"):
        user.name = user.number
    assert user.derive(plain="x").pin.get_value() == 1


def test_10_comparison_and_json() -> None:
    """Tags are compared by identity, and do not go to JSON (models.md 10)."""
    one, other = User("Ada", "1", 1), User("Ada", "1", 1)
    assert one == one  # noqa: PLR0124 - identity is the point
    assert one != other
    for write in (
        lambda: one.dumps(serializer="json"),
        lambda: Registry().dumps_value(User, one),
        lambda: Registry().dumps_value(None, Order(one, [])),
    ):
        with pytest.raises(TypeError):
            write()


def test_10_options() -> None:
    """`_options` lists tagged fields, and fields whose models have some (models.md 10)."""
    options = User._options
    assert options.tagged_fields == {"name", "number", "pin", "token"}
    assert options.personal_fields == {"name"}
    assert options.sensitive_fields == {"number"}
    assert options.secret_fields == {"pin", "token"}
    assert options.has_tagged_fields
    assert options.has_personal_fields
    assert options.has_sensitive_fields
    assert options.has_secret_fields
    assert Order._options.tagged_fields == {"user", "users"}
    assert Order._options.secret_fields == {"user", "users"}


@pytest.mark.parametrize(
    ("tag", "flags"),
    [
        (Tag, (False, False, False)),
        (Secret, (True, False, False)),
        (Sensitive, (False, True, False)),
        (Personal, (False, False, True)),
    ],
)
def test_10_flags(tag: Any, flags: tuple[bool, bool, bool]) -> None:
    """Flags tell the tags apart (models.md 10)."""
    assert (tag.is_secret, tag.is_sensitive, tag.is_personal) == flags
    assert issubclass(Secret, TransparentTag)
    assert issubclass(Sensitive, OpaqueTag)


def test_10_validation_and_errors_keep_secrets() -> None:
    """Tagged values are validated, and no error shows them (models.md 10, deviation)."""
    user = User("Ada", "", 1)
    assert [error.reason for error in user.validate()] == [
        "number cannot be left blank",
        "plain cannot be left blank",
    ]
    bad = User("Ada", "1", "hemlig")
    error = bad.validate()[0]
    assert "hemlig" not in str(error)
    strict: Any = types.new_class(
        "Strict",
        (Record,),
        {"coerce": True},
        lambda b: b.update(__annotations__={"x": Secret[int]}),
    )
    assert strict("3").x.get_value() == 3
    with pytest.raises(ValueError, match=r"x: expected .*, got str") as caught:
        strict("hemlig")
    assert "hemlig" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_10_copies_of_tags() -> None:
    """Tags survive assignment of plain values only, and know the name of their field (models.md 10)."""
    user: Any = User("Ada", "1", 1)
    user.pin = 2
    assert (user.pin.get_value(), user.pin._name) == (2, "pin")
    assert Secret("x", field="y")._name == "y"
