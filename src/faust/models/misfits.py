"""What did not fit where: errors of conversion, with the path of the field.

The *type* of such an error is the converter's own (`ValueError` of ``int("x")``, `TypeError`,
`decimal.InvalidOperation` ...): programs catch those. So an error of a well-known type is raised
again as the same type with a message that begins with the path; any other keeps its message, and
gets the path as a note (PEP 678). Either way the path is its attribute ``field_path``, from which
the errors of outer models take it.
"""

from __future__ import annotations

import decimal
from dataclasses import dataclass
from typing import Any

from faust.exceptions import ValidationError
from faust.serializers.typed import type_name

__all__ = ["Misfit", "misfit_error", "path_of", "with_path"]

_PLAIN = frozenset(
    {
        AttributeError,
        IndexError,
        KeyError,
        OverflowError,
        TypeError,
        ValueError,
        decimal.InvalidOperation,
    }
)
"""Errors that say nothing but their text, so that it can be replaced."""


@dataclass(frozen=True)
class Misfit:
    """A value that could not be converted, and where it stands."""

    path: str
    type: Any
    value: Any
    cause: Exception


def path_of(exc: Exception) -> str:
    """Return the path that an error carries; empty: none."""
    path: str = getattr(exc, "field_path", "")
    return path


def misfit_error(misfit: Misfit, *, secret: bool = False) -> Exception:
    """Return the error to raise for *misfit*; that of a *secret* field does not show the value."""
    cause = misfit.cause
    if path_of(cause):  # an inner model has said what and where; only the way to it is longer
        return with_path(cause, misfit.path)
    name = type_name(misfit.type)
    expected = name.lower() if name in {"Decimal", "UUID"} else name
    if secret:
        got, why = type(misfit.value).__name__, ""
    else:
        got, why = f"{misfit.value!r:.100}", f" ({cause})" if str(cause) else ""
    return with_path(cause, misfit.path, f"expected {expected}, got {got}{why}")


def with_path(exc: Exception, path: str, message: str = "") -> Exception:
    """Return *exc*, or another of its type, as the error of the field at *path*.

    Without a *message* it is the error of an inner model, whose text begins with its own path.
    """
    if isinstance(exc, ValidationError):
        exc.field_path = path
        return exc
    inner = path_of(exc)
    if type(exc) in _PLAIN:
        text = str(exc.args[0]) if exc.args else ""
        if not message:
            message = text.removeprefix(f"{inner}: ")
        made: Exception = type(exc)(f"{path}: {message}")
    else:
        made = exc
        if hasattr(exc, "__notes__"):
            exc.__notes__ = [note for note in exc.__notes__ if not note.startswith(f"{inner}: ")]
        made.add_note(f"{path}: {message or 'see above'}")
    made.field_path = path  # type: ignore[attr-defined]
    return made
