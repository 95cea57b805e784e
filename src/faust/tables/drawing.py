"""Tables drawn as text."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import IO, Any

from faust.utils.terminal import table as text_table

__all__ = ["text_of"]


def text_of(
    table: Any,
    items: Iterable[tuple[Any, Any]],
    title: str,
    headers: tuple[str, str],
    sortkey: Callable[[Any], Any] | None,
    target: IO[str],
) -> str:
    """Draw *items*; *title* may contain ``{table.name}``, and its words are capitalized, as those of *headers*."""
    rows = list(items) if sortkey is None else sorted(items, key=sortkey)
    name = title.format(table=table).replace("_", " ").title()
    return str(text_table(rows, [header.title() for header in headers], name, file=target))
