"""Tables that people and programs read."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faust.utils.terminal import Table, is_terminal, table

PLAIN = """\
+Agents----+----------------+----------------+
| name     | topic          | help           |
+----------+----------------+----------------+
| @shuffle | posts          | Shuffle words. |
| @count   | a-longer-topic | <N/A>          |
+----------+----------------+----------------+"""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


ROWS = [("@shuffle", "posts", "Shuffle words."), ("@count", "a-longer-topic", "<N/A>")]


def test_plain_table_has_its_title_in_the_border() -> None:
    """Where no terminal is, the picture is the documented ASCII one, to the letter."""
    assert str(table(ROWS, ["name", "topic", "help"], "Agents", file=io.StringIO())) == PLAIN


def test_on_a_terminal_boxes_are_drawn() -> None:
    """A terminal gets the same cells in box characters."""
    text = str(table(ROWS, ["name", "topic", "help"], "Agents", file=Terminal()))
    assert text.startswith("┌Agents────┬")
    assert "│ @shuffle │" in text


def test_an_empty_table_is_its_header() -> None:
    """No rows leave the header and two borders."""
    assert str(Table([], ["name"], "T")).splitlines() == ["+T-----+", "| name |", "+------+"]


def test_line_breaks_make_taller_rows() -> None:
    """Text of several lines stays in its cell."""
    assert str(Table([("a\nb", "c")])).splitlines() == [
        "+---+---+",
        "| a | c |",
        "| b |   |",
        "+---+---+",
    ]


def test_wide_characters_keep_the_wall_straight() -> None:
    """A character that takes two columns is counted as two."""
    assert str(Table([("名前",), ("abcd",)])).splitlines()[1:3] == ["| 名前 |", "| abcd |"]


def test_without_inner_border() -> None:
    """The banner separates its columns by blanks."""
    assert str(Table([("id", "x"), ("pid", 12)], inner_border=False)).splitlines() == [
        "+----------+",
        "| id    x  |",
        "| pid   12 |",
        "+----------+",
    ]


def test_rows_must_be_of_one_length() -> None:
    """A missing cell is an error, not a crooked table."""
    with pytest.raises(ValueError, match="same number of cells"):
        str(Table([("a",), ("b", "c")]))


@given(
    st.lists(
        st.tuples(*[st.text(st.characters(codec="ascii", categories=["L", "N", "P", "Zs"]))] * 3),
        min_size=1,
    )
)
def test_every_line_is_as_long_as_the_border(rows: list[tuple[str, str, str]]) -> None:
    """Whatever the cells hold, the picture is a rectangle."""
    lines = str(Table(rows, ["a", "b", "c"])).splitlines()
    assert len({len(line) for line in lines}) == 1


def test_closed_files_are_no_terminals() -> None:
    """Asking never fails."""
    closed = io.StringIO()
    closed.close()
    assert not is_terminal(closed)
    assert not is_terminal(None)
