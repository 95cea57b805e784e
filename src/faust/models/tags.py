"""Tags: fields whose values must not end up in a log by accident.

``Secret[str]``, ``Personal[str]`` and ``Sensitive[str]`` annotate a field. Its value is wrapped when
it is assigned, and reading the field gives the wrapper, whose `Tag.get_value` has to be called by
name. What that gives differs:

* `Secret` is transparent: text shows a mask, and the value is one call away.
* `Sensitive` and `Personal` are opaque: text raises `SecurityError`, and the call gives a *guard*, a
  string that works only in the frame that asked for it. Handed on, to a logger or another function,
  it raises, unless that is inside of ``with allow_protected_vars():``.

A guard knows its frame by holding on to it, because the identity of a dead frame may be that of the
next one. It is told from the frames of `collections.UserString`, which does the work of a string.
"""

from __future__ import annotations

import collections
import sys
from collections import UserString
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType
from typing import Any, ClassVar, Generic, TypeVar, get_origin

from faust.exceptions import SecurityError

__all__ = [
    "OpaqueTag",
    "Personal",
    "Secret",
    "Sensitive",
    "Tag",
    "TransparentTag",
    "allow_protected_vars",
]

T = TypeVar("T")

_allowed: ContextVar[bool] = ContextVar("faust.models.tags.allowed", default=False)


@contextmanager
def allow_protected_vars() -> Iterator[None]:
    """Let guards be used anywhere, and `Personal.get_value` give plain values, in this context."""
    token = _allowed.set(True)
    try:
        yield
    finally:
        _allowed.reset(token)


class Tag(Generic[T]):
    """A value in a wrapper.

    Raises:
        SecurityError: the value is wrapped already.
    """

    is_secret: ClassVar[bool] = False
    is_sensitive: ClassVar[bool] = False
    is_personal: ClassVar[bool] = False

    def __init__(self, value: T, *, field: str | None = None) -> None:
        if isinstance(value, Tag):
            raise SecurityError("Cannot wrap: value is already tagged")
        self._value = value
        self._name = field

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def get_value(self) -> Any:
        """Return the value, in the form that this tag gives it away."""
        raise NotImplementedError(f"{type(self).__name__} does not say how to get at its value")

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self._name}@{id(self):#x}>"


class TransparentTag(Tag[T]):
    """A tag that gives its value to everybody who asks."""

    def get_value(self) -> T:
        """Return the plain value."""
        return self._value

    def _prepare_value(self) -> Any:
        return self._value

    def __str__(self) -> str:
        return str(self._prepare_value())

    def __format__(self, format_spec: str) -> str:
        return format(self._prepare_value(), format_spec)


class Secret(TransparentTag[T]):
    """What should not be read over a shoulder: as text it is a mask."""

    is_secret = True
    mask: ClassVar[str] = "*" * 11

    def _prepare_value(self) -> str:
        return self.mask


class OpaqueTag(Tag[T]):
    """A tag that never becomes text; for text and bytes only."""

    def __class_getitem__(cls, params: Any) -> Any:
        if not isinstance(params, TypeVar):
            plain = get_origin(params) or params
            if not (isinstance(plain, type) and issubclass(plain, str | bytes)):
                raise TypeError(f"{cls.__name__} only supports str/bytes not {params!r}")
        return super().__class_getitem__(params)  # type: ignore[misc]

    def get_value(self) -> Any:
        """Return a guard: the value as a string for the calling frame."""
        return _guard(self)

    def __str__(self) -> str:
        raise SecurityError(f"Attempt to use {type(self).__name__} data as a string")

    def __format__(self, format_spec: str) -> str:
        return str(self)


class Sensitive(OpaqueTag[T]):
    """What must stay where it is used."""

    is_sensitive = True


class Personal(OpaqueTag[T]):
    """What belongs to somebody else; plain inside of `allow_protected_vars`."""

    is_personal = True

    def get_value(self) -> Any:
        """Return a guard; inside of `allow_protected_vars` the plain value."""
        return self._value if _allowed.get() else _guard(self)


class Protected(UserString):
    """A string for one frame.

    Raises:
        SecurityError: (when it is used) this is another frame.
    """

    def __init__(self, seq: object, *, name: str | None = None) -> None:
        self._name = name
        self._frame = _user_frame()
        super().__init__(seq)

    @property
    def data(self) -> str:
        """The string."""
        if not _allowed.get() and _user_frame() is not self._frame:
            raise SecurityError(
                f"the protected value of {self._name} is used outside of the function that asked "
                "for it; call get_value() there, or use allow_protected_vars()"
            )
        return self._data

    @data.setter
    def data(self, value: str) -> None:
        self._data = value

    def __repr__(self) -> str:
        return f"<Protected str: {self._name}@{id(self):#x}>"


def _guard(tag: Tag[Any]) -> Protected:
    value = tag._value
    text = value.decode(errors="replace") if isinstance(value, bytes) else value
    return Protected(text, name=tag._name)


def _user_frame() -> FrameType | None:
    """Return the frame that works with a guard, behind the frames that make it a string."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename in _INNER:
        frame = frame.f_back
    return frame


_INNER = frozenset({__file__, collections.__file__})
