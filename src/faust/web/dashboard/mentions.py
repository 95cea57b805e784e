"""Which objects of a program a function mentions: the topics, tables and agents that it uses, as far as its code tells.

Nobody declares that an agent writes a table, and watching every write would cost every write. But what a function uses it
names: a global, a variable of the function around it, an attribute of a module. Those names are in its code object, and are
looked up, not run. Functions of the same module that it calls are followed. What is found by other ways (a dictionary, an
attribute of an object) is not seen.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from functools import partial
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

__all__ = ["mentioned_by"]


def mentioned_by(fun: Any) -> list[Any]:
    """Return what *fun*, and functions of its module that it mentions, name; each object once."""
    found: dict[int, Any] = {}
    waiting, seen = [fun], set()
    while waiting:
        function = _plain(waiting.pop())
        if function is None or id(function) in seen:
            continue
        seen.add(id(function))
        for value in _named_in(function):
            found.setdefault(id(value), value)
            other = _plain(value)
            if other is not None and other.__module__ == function.__module__:
                waiting.append(other)
    return list(found.values())


def _plain(value: Any) -> FunctionType | None:
    """Return the function behind decorators and bindings; None: there is none. Nothing of the program is run."""
    while isinstance(value, partial | MethodType):
        value = value.func if isinstance(value, partial) else value.__func__
    if not isinstance(value, FunctionType):
        return None
    function = inspect.unwrap(value)
    return function if isinstance(function, FunctionType) else None


def _named_in(function: FunctionType) -> Iterator[Any]:
    names = _names_of(function.__code__)
    variables = function.__globals__
    for name in names:
        value = variables.get(name)
        if isinstance(value, ModuleType):
            yield from (vars(value)[other] for other in names if other in vars(value))
        elif value is not None:
            yield value
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not set yet
            continue


def _names_of(code: CodeType) -> set[str]:
    """Return the names that a code object, and those inside of it, look up."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= _names_of(constant)
    return names
