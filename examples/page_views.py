"""Count the views of web pages, and announce the pages that become popular: two agents, one table.

python examples/page_views.py worker
python examples/page_views.py browse     # in another terminal: ten thousand views
"""

import random

import faust
from faust.cli import option

MILESTONE = 1000
PAGES = ["/", "/docs", "/download", "/news", "/about", "/contact"]

app = faust.App("page-views", broker="local://")
page_views = app.topic("page_views", value_type=dict, internal=True)
milestones = app.topic("milestones", key_type=str, value_type=int, internal=True)
views = app.Table("views", default=int)


@app.agent(page_views)
async def count_views(stream):
    """Count by page, and say when a page has reached a round number."""
    async for view in stream.group_by(lambda view: view["page"], name="page"):
        page = view["page"]
        views[page] += 1
        if views[page] % MILESTONE == 0:
            await milestones.send(key=page, value=views[page])


@app.agent(milestones)
async def announce(stream):
    """Print the good news."""
    async for page, number in stream.items():
        print(f"{page} has been viewed {number:,} times")


@app.command(option("--number", default=10_000, help="How many views."))
async def browse(self, number):
    """View pages, the first ones more often than the last."""
    await page_views.maybe_declare()
    popularity = range(len(PAGES), 0, -1)
    for user, page in enumerate(random.choices(PAGES, popularity, k=number)):
        await page_views.send(value={"page": page, "user": f"user-{user % 100}"})


if __name__ == "__main__":
    app.main()
