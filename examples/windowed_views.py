"""Count the views of web pages per minute of the time when they happened, and print each minute when it is over.

python examples/windowed_views.py worker
python examples/windowed_views.py browse     # in another terminal: an hour of views, at once and out of order
"""

import random
from datetime import UTC, datetime

import faust
from faust.cli import option

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC).timestamp()


class View(faust.Record):
    page: str
    at: float


app = faust.App("windowed-views", broker="local://", table_cleanup_interval=1)
views = app.topic("views", key_type=str, value_type=View, internal=True)


async def print_minute(key, count):
    """Print a minute of a page: nothing is added to it any more."""
    page, (start, _) = key
    print(f"{datetime.fromtimestamp(start, UTC):%H:%M} {page} {count}")


minutes = (
    app.Table("views-per-minute", default=int, on_window_close=print_minute, grace=30)
    .tumbling(60)
    .relative_to_field(View.at)
)


@app.agent(views)
async def count_views(stream):
    """Count each view in the minute of its time; views are keyed by page."""
    async for view in stream:
        minutes[view.page] += 1


@app.command(option("--number", default=10_000, help="How many views."))
async def browse(self, number):
    """View pages for an hour, and report each view up to ten seconds late."""
    await views.maybe_declare()
    times = [NOON + 3600 * n / number for n in range(number)]
    for at in sorted(times, key=lambda at: at + random.uniform(0, 10)):
        page = random.choice(["/", "/docs"])
        await views.send(key=page, value=View(page=page, at=at))


if __name__ == "__main__":
    app.main()
