"""Ask an agent for answers.

python examples/rpc.py worker          in one terminal
python examples/rpc.py ask 3 4         in another: asks from outside, as a client
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import faust
from faust.cli import argument

app = faust.App("rpc", broker="local://")


class Rectangle(faust.Record):
    width: float
    height: float


@app.agent(value_type=Rectangle, name="area")
async def area(rectangles: faust.Stream[Rectangle]) -> AsyncIterator[float]:
    async for rectangle in rectangles:
        yield rectangle.width * rectangle.height


@app.command(argument("width", type=float), argument("height", type=float))
async def ask(self: object, width: float, height: float) -> None:
    """Ask for the area of a rectangle, and for those of its multiples."""
    async with asyncio.timeout(60):
        print(f"{width:g} x {height:g} = {await area.ask(Rectangle(width, height)):g}")
        multiples = [Rectangle(width * factor, height) for factor in range(1, 6)]
        print("multiples:", ", ".join(f"{answer:g}" for answer in await area.join(multiples)))
    await app.stop()


if __name__ == "__main__":
    app.main()
