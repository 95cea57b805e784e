"""Count the different visitors of web pages: a set of users per page.

python examples/unique_visitors.py worker
python examples/unique_visitors.py browse      # in another terminal: ten thousand visits
"""

import random

import faust
from faust.cli import option

PAGES = ["/", "/docs", "/download"]

app = faust.App("unique-visitors", broker="local://")
visits = app.topic("visits", key_type=str, value_type=str, internal=True)
visitors = app.SetTable("visitors", value_type=str)


@app.agent(visits)
async def collect(stream):
    """Add each visitor to the set of the page; visits are keyed by page."""
    async for page, user in stream.items():
        visitors[page].add(user)


@app.timer(1.0)
async def show():
    """Print how many different visitors each page has had."""
    for page, users in sorted(visitors.items()):
        print(f"{page} {len(users)}")


@app.command(option("--number", default=10_000, help="How many visits."))
async def browse(self, number):
    """Visit pages."""
    await visits.maybe_declare()
    for visit in range(number):
        await visits.send(key=random.choice(PAGES), value=f"user-{visit % 100}")


if __name__ == "__main__":
    app.main()
