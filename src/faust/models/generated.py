"""Code that is written out for a class, as if by hand, and that a debugger can show.

Whatever happens once per message and field is decided when the class is made, and written down as
the few lines of Python that are left to do. The text of every function written here is kept in
`linecache`, under a file name such as ``<faust: shop.Order.__init__>``; tracebacks, ``pdb`` and
``inspect.getsource`` find it there.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable, Iterable
from typing import Any

__all__ = ["write_function"]


def write_function(
    owner: type, name: str, lines: Iterable[str], scope: dict[str, Any]
) -> Callable[..., Any]:
    """Make the function *name* of a class from the *lines* of its definition.

    Arguments:
        owner: The class it is written for.
        name: The name that the lines define.
        lines: A ``def`` statement. Only names of fields, which are identifiers by definition, and
            literals may have been put into it.
        scope: The globals of the function.
    """
    source = "\n".join(lines) + "\n"
    base = f"<faust: {owner.__module__}.{owner.__qualname__}.{name}"
    number, filename = 1, f"{base}>"
    while filename in linecache.cache:
        number += 1
        filename = f"{base}#{number}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    exec(compile(source, filename, "exec", dont_inherit=True), scope)  # noqa: S102 - see above
    written: Callable[..., Any] = scope[name]
    written.__module__ = owner.__module__
    written.__qualname__ = f"{owner.__qualname__}.{name}"
    return written
