"""Keys of tables in addresses: they are text there, and may be numbers in the table."""

from __future__ import annotations

from typing import Any

from faust.web.exceptions import ParseError

__all__ = ["key_in", "key_of"]


def key_of(table: Any, text: str) -> Any:
    """Return the key of *table* that stands as *text* in an address.

    Raises:
        ParseError: The table's keys are numbers, and this is none.
    """
    kind = table.key_type
    if kind not in (int, float, bytes):
        return text
    try:
        return text.encode() if kind is bytes else kind(text)
    except ValueError:
        raise ParseError(
            f"The keys of table {table.name} are {kind.__name__}: {text!r} is none."
        ) from None


def key_in(table: Any, key: Any) -> Any:
    """Return *key* as the table has it: text that came with a request is read as `key_of` does."""
    return key_of(table, key) if isinstance(key, str) else key
