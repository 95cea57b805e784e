"""Draw boxes, arrows and bars as plain SVG: what `scripts/state_pictures.py` needs, and nothing more.

A picture is a white card, so it reads by day and by night, and has a title and a description for those who cannot see it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

__all__ = ["COLOURS", "Arrow", "Box", "Picture"]

LINE = 15
"""Pixels from one line of text to the next."""

COLOURS = {
    "plain": ("#eef3f8", "#2a5d84"),
    "good": ("#e6f4ea", "#2c7a4b"),
    "busy": ("#fff4dd", "#9a6700"),
    "bad": ("#fdeaea", "#a33a3a"),
    "faint": ("#f6f6f6", "#8a8a8a"),
}
"""Kind of a box -> its ground, its edge."""

STYLE = """
text{font:12px system-ui,-apple-system,"Segoe UI",sans-serif;fill:#1f2933}
.name{font-weight:600}.small{font-size:11px;fill:#52606d}.way{stroke:#52606d;stroke-width:1.3;fill:none}
"""


class Box(NamedTuple):
    """A state: its centre, its name, what is said below."""

    x: float
    y: float
    name: str
    below: str = ""
    kind: str = "plain"
    width: float = 120
    height: float = 46


class Arrow(NamedTuple):
    """A way from one box to another; a box to itself is a loop on its top.

    Attributes:
        bend: Pixels by which the arrow bows to the right of its direction.
        at: Where the words stand: 0 is the beginning, 1 the end.
    """

    start: Box
    end: Box
    words: Sequence[str]
    bend: float = 0
    at: float = 0.5


class Picture:
    """An SVG that grows."""

    def __init__(self, width: int, height: int, title: str, description: str) -> None:
        self._parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}"',
            f'height="{height}" role="img" aria-labelledby="title description">',
            f'<title id="title">{escape(title)}</title>',
            f'<desc id="description">{escape(description)}</desc>',
            f"<style>{STYLE}</style>",
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">',
            '<path d="M0 0L8 4L0 8z" fill="#52606d"/></marker></defs>',
            f'<rect width="{width}" height="{height}" rx="8" fill="#fff"/>',
        ]
        self._labels: list[str] = []

    def text(
        self, x: float, y: float, words: str, *, cls: str = "", anchor: str = "middle"
    ) -> None:
        """Write *words* with their base line at *y*."""
        self._parts.append(_text(x, y, words, cls, anchor))

    def bar(self, x: float, y: float, width: float, height: float, kind: str) -> None:
        """Draw a filled bar; its upper left corner is at *x*, *y*."""
        ground, edge = COLOURS[kind]
        self._parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="4" fill="{ground}" stroke="{edge}"/>'
        )

    def line(self, *points: tuple[float, float], dashed: bool = False, tip: bool = False) -> None:
        """Draw a line through *points*."""
        way = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        extra = ' stroke-dasharray="3 3"' if dashed else ""
        end = ' marker-end="url(#tip)"' if tip else ""
        self._parts.append(f'<path class="way" d="{way}"{extra}{end}/>')

    def box(self, box: Box) -> None:
        """Draw a state."""
        self.bar(box.x - box.width / 2, box.y - box.height / 2, box.width, box.height, box.kind)
        if box.below:
            self.text(box.x, box.y - 2, box.name, cls="name")
            self.text(box.x, box.y + 13, box.below, cls="small")
        else:
            self.text(box.x, box.y + 4, box.name, cls="name")

    def arrow(self, arrow: Arrow) -> None:
        """Draw a way, and its words beside it."""
        start, end = arrow.start, arrow.end
        if start == end:
            x, y = start.x, start.y - start.height / 2
            way = f"M{x - 16:.1f} {y:.1f}C{x - 26:.1f} {y - 34:.1f} {x + 26:.1f} {y - 34:.1f} {x + 16:.1f} {y:.1f}"
            middle = (x, y - 32 - LINE * (len(arrow.words) - 1) / 2)
        else:
            length = math.dist((start.x, start.y), (end.x, end.y))
            over = ((start.y - end.y) / length, (end.x - start.x) / length)
            knee = (
                (start.x + end.x) / 2 + over[0] * arrow.bend * 2,
                (start.y + end.y) / 2 + over[1] * arrow.bend * 2,
            )
            a, b = _border(start, knee), _border(end, knee)
            way = f"M{a[0]:.1f} {a[1]:.1f}Q{knee[0]:.1f} {knee[1]:.1f} {b[0]:.1f} {b[1]:.1f}"
            middle = _on_curve(a, knee, b, arrow.at)
        self._parts.append(f'<path class="way" d="{way}" marker-end="url(#tip)"/>')
        top = middle[1] - LINE * (len(arrow.words) - 1) / 2 + 4
        for number, words in enumerate(arrow.words):
            halo = ' stroke="#fff" stroke-width="6" paint-order="stroke"'
            self._labels.append(
                _text(middle[0], top + LINE * number, words, "small", "middle", halo)
            )

    def svg(self) -> str:
        """Return the picture as text."""
        return "\n".join([*self._parts, *self._labels, "</svg>", ""])


def _text(x: float, y: float, words: str, cls: str, anchor: str, extra: str = "") -> str:
    kind = f' class="{cls}"' if cls else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{kind}{extra}>{escape(words)}</text>'
    )


def _border(box: Box, towards: tuple[float, float]) -> tuple[float, float]:
    """Return where the line from the centre of *box* to a point leaves it."""
    dx, dy = towards[0] - box.x, towards[1] - box.y
    ratio = min(
        (box.width / 2 + 1) / abs(dx) if dx else math.inf,
        (box.height / 2 + 1) / abs(dy) if dy else math.inf,
    )
    return (box.x + dx * ratio, box.y + dy * ratio)


def _on_curve(
    a: tuple[float, float], knee: tuple[float, float], b: tuple[float, float], t: float
) -> tuple[float, float]:
    u = 1 - t
    return (
        u * u * a[0] + 2 * u * t * knee[0] + t * t * b[0],
        u * u * a[1] + 2 * u * t * knee[1] + t * t * b[1],
    )
