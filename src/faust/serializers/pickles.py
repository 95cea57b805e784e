"""Pickles that may come from strangers: what is refused, and before what.

A pickle is a program for a small machine. Two ways to run it with less trust: `restricted_loads` lets
it name a few harmless classes only; `scanned_loads` asks the package fickling what the program would
do. Neither makes pickles a good format for strangers: JSON needs no such care.
"""

from __future__ import annotations

import importlib
import io
import pickle
import pickletools
from collections.abc import Mapping
from typing import Any, ClassVar

from faust.exceptions import ImproperlyConfigured

__all__ = ["RestrictedUnpickler", "library", "restricted_loads", "scanned_loads"]


class RestrictedUnpickler(pickle.Unpickler):
    """Loads pickles that refer to a short list of harmless classes, and no others.

    Attributes:
        ALLOWED_CLASSES: Names by module; assign a larger mapping to allow more. ``bytes`` and
            ``bytearray`` are missing on purpose: called with a number, they eat all memory
            (literal values load all the same).
    """

    ALLOWED_CLASSES: ClassVar[Mapping[str, frozenset[str]]] = {
        "builtins": frozenset(
            {
                "bool",
                "complex",
                "dict",
                "float",
                "frozenset",
                "int",
                "list",
                "object",
                "set",
                "str",
                "tuple",
            }
        ),
        "collections": frozenset({"Counter", "OrderedDict", "defaultdict", "deque"}),
        "datetime": frozenset({"date", "datetime", "time", "timedelta", "timezone"}),
        "decimal": frozenset({"Decimal"}),
        "uuid": frozenset({"UUID"}),
    }

    def find_class(self, module: str, name: str) -> Any:
        """Return an allowed class.

        Raises:
            pickle.UnpicklingError: it is not in `ALLOWED_CLASSES`.
        """
        if name in self.ALLOWED_CLASSES.get(module, ()):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(
            f"{module}.{name} is not allowed in a restricted pickle; "
            "add it to RestrictedUnpickler.ALLOWED_CLASSES if it is harmless"
        )


def restricted_loads(data: bytes) -> Any:
    """Load a pickle by `RestrictedUnpickler`.

    Raises:
        pickle.UnpicklingError: it names other classes, or is malformed.
    """
    try:
        _refuse_greed(data)
        return RestrictedUnpickler(io.BytesIO(data)).load()
    except (pickle.UnpicklingError, MemoryError):
        raise
    except Exception as exc:
        raise pickle.UnpicklingError(f"malformed pickle: {type(exc).__name__}: {exc}") from exc


def scanned_loads(data: bytes) -> Any:
    """Load a pickle that fickling has nothing against.

    Raises:
        pickle.UnpicklingError: it has, or the pickle is malformed.
        ImproperlyConfigured: fickling is not installed.
    """
    fickling = library("fickling", "fickling")
    try:
        _refuse_greed(data)
        return fickling.load(io.BytesIO(data))
    except (pickle.UnpicklingError, MemoryError):
        raise
    except Exception as exc:
        raise pickle.UnpicklingError(f"refused by fickling: {type(exc).__name__}: {exc}") from exc


def library(module: str, package: str) -> Any:
    """Import an optional library.

    Raises:
        ImproperlyConfigured: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as exc:
        raise ImproperlyConfigured(
            f"this codec needs the package {package}: pip install {package}"
        ) from exc


def _refuse_greed(data: bytes) -> None:
    """Refuse a few bytes that make the machine fetch gigabytes before it finds them malformed.

    The unpickler makes its memo as long as the largest index it is told to write, and a bytearray as
    long as it is announced. Neither can be honest beyond the length of the data. Only pickles that
    hold one of the bytes of those instructions are looked through.
    """
    if b"r" in data or b"p" in data or b"\x96" in data:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name in {"PUT", "LONG_BINPUT"} and not 0 <= int(argument or 0) <= len(data):
                raise pickle.UnpicklingError(f"malformed pickle: memo index {argument}")
