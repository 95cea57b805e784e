"""Signatures that show what ``**options`` takes.

A method such as `faust.App.topic` hands its options on to a constructor, which alone names them. Type checkers know them
from overloads; `show_options` tells people and tools that look at run time (`help`, IPython, `inspect.signature`).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from inspect import Parameter
from typing import Any

__all__ = ["show_options"]


def show_options(
    method: Callable[..., Any], *constructors: Callable[..., Any], hidden: Collection[str] = ()
) -> None:
    """Let the signature of *method* name the keywords that it hands on.

    Arguments:
        method: Takes ``**options``; those that it names itself stay as they are.
        constructors: What takes the options, at least one; of parameters with the same name the first counts.
        hidden: Parameters that are not the caller's to give.
    """
    own = inspect.signature(method)
    shown = [one for one in own.parameters.values() if one.kind is not Parameter.VAR_KEYWORD]
    known = {*(one.name for one in shown), *hidden, "self"}
    for constructor in constructors:
        for parameter in inspect.signature(constructor).parameters.values():
            rest = parameter.kind in {Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD}
            if not rest and parameter.name not in known:
                known.add(parameter.name)
                shown.append(parameter.replace(kind=Parameter.KEYWORD_ONLY))
    last = list(inspect.signature(constructors[-1]).parameters.values())[-1]
    if last.kind is Parameter.VAR_KEYWORD:  # it hands them on in its turn
        shown.append(last)
    setattr(method, "__signature__", own.replace(parameters=shown))  # noqa: B010 - no attribute for type checkers
