"""Tables for the console: rounded boxes on a terminal, plain ASCII everywhere else.

The plain form is a contract: programs read it, so it has no colours, no wrapping and no trailing
blanks, and the title stands in the top border::

    +Agents----+----------------+----------------+
    | name     | topic          | help           |
    +----------+----------------+----------------+
    | @shuffle | posts          | Shuffle words. |
    +----------+----------------+----------------+
"""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import IO, Any

__all__ = ["Table", "is_terminal", "table"]


@dataclass(frozen=True)
class _Lines:
    """The characters of a table: borders as (left, line, cross, right), and the wall."""

    top: str
    middle: str
    bottom: str
    wall: str


ASCII = _Lines("+-++", "+-++", "+-++", "|")
BOX = _Lines("┌─┬┐", "├─┼┤", "└─┴┘", "│")


@dataclass(frozen=True)
class Table:
    """Rows of text under a title; `str` of it is the picture.

    Attributes:
        rows: Cells; everything is turned into text, line breaks make taller rows.
        headers: Names of the columns; empty: no header.
        title: Text in the top border.
        box: Draw with box characters instead of ASCII.
        inner_border: Separate columns by walls (without: by blanks).
    """

    rows: Sequence[Sequence[Any]]
    headers: Sequence[str] = ()
    title: str = ""
    box: bool = False
    inner_border: bool = True

    def __str__(self) -> str:
        body = [[str(cell).splitlines() or [""] for cell in row] for row in self.rows]
        head = [[[header] for header in self.headers]] if self.headers else []
        widths = _widths([*head, *body])
        lines = BOX if self.box else ASCII
        picture = [_titled(self._border(widths, lines.top), self.title)]
        for row in head:
            picture += self._row(row, widths, lines.wall)
        if head and body:
            picture.append(self._border(widths, lines.middle))
        for row in body:
            picture += self._row(row, widths, lines.wall)
        picture.append(self._border(widths, lines.bottom))
        return "\n".join(picture)

    def _border(self, widths: Sequence[int], characters: str) -> str:
        left, line, cross, right = tuple(characters)
        between = cross if self.inner_border else line
        return left + between.join(line * (width + 2) for width in widths) + right

    def _row(self, row: Sequence[list[str]], widths: Sequence[int], wall: str) -> list[str]:
        between = wall if self.inner_border else " "
        lines = []
        for number in range(max(map(len, row), default=1)):
            texts = (cell[number] if number < len(cell) else "" for cell in row)
            cells = (
                f" {text}{' ' * (width - _width(text))} "
                for text, width in zip(texts, widths, strict=True)
            )
            lines.append(wall + between.join(cells) + wall)
        return lines


def table(
    rows: Iterable[Sequence[Any]],
    headers: Sequence[str] = (),
    title: str = "",
    *,
    file: IO[str] | None = None,
    inner_border: bool = True,
) -> Table:
    """Make a table fit for *file* (None: standard output): a box on a terminal, else ASCII."""
    return Table(
        [tuple(row) for row in rows],
        headers,
        title,
        box=is_terminal(sys.stdout if file is None else file),
        inner_border=inner_border,
    )


def is_terminal(file: Any) -> bool:
    """Say whether *file* is a terminal."""
    try:
        return bool(file.isatty())
    except (AttributeError, ValueError):  # no such method, or closed
        return False


def _titled(border: str, title: str) -> str:
    return border[0] + title + border[1 + len(title) :] if title else border


def _widths(rows: Sequence[Sequence[list[str]]]) -> list[int]:
    if len({len(row) for row in rows}) > 1:
        raise ValueError("rows of a table must have the same number of cells")
    columns = zip(*rows, strict=True)
    return [max(_width(text) for cell in column for text in cell) for column in columns]


def _width(text: str) -> int:
    """Return how many columns of a terminal *text* takes (Unicode Standard Annex 11)."""
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    marks = sum(unicodedata.combining(character) > 0 for character in text)
    return len(text) + wide - marks
