"""Pages: count what is posted, and ask any worker for any count.

python examples/web.py worker                # http://localhost:6066/
python examples/web.py worker -p 6067        # in another terminal: shares the keys with the first
curl -X POST localhost:6066/count/apples/
curl localhost:6067/count/apples/            # whoever has the key answers
python examples/web.py visit                 # a thousand posts to both
"""

import random

import aiohttp

import faust
from faust.cli import option
from faust.web import View

FRUITS = ["apples", "bananas", "cherries", "dates", "elderberries"]

app = faust.App("web", broker="local://", topic_partitions=4)
sold = app.topic("sold", key_type=str, value_type=int, partitions=4, internal=True)
counts = app.Table("counts", default=int, key_type=str, partitions=4, help="How many were sold.")


@app.agent(sold)
async def count(stream):
    """Count what is sold."""
    async for fruit, number in stream.items():
        counts[fruit] += number


@app.page("/count/{fruit}/")
class Count(View):
    """One fruit. GET is answered by the worker that has its count; POST by anyone, since it only sends."""

    @app.table_route(counts, match_info="fruit")
    async def get(self, request, fruit):
        """Answer the count, and who has it."""
        return self.json(
            {"fruit": fruit, "count": counts[fruit], "by": str(app.conf.canonical_url)}
        )

    async def post(self, request, fruit):
        """Sell one, or ?number=N."""
        try:
            number = int(request.query.get("number", "1"))
        except ValueError:
            raise self.ValidationError("number must be a number") from None
        await (await sold.send(key=fruit, value=number))
        return self.json({"sold": number}, status=202)


@app.command(
    option("--number", default=1000, help="How many posts."),
    option("--port", multiple=True, default=[6066], type=int, help="Ports of the workers."),
)
async def visit(self, number, port):
    """Sell fruit over HTTP."""
    async with aiohttp.ClientSession() as session:
        for _ in range(number):
            url = f"http://localhost:{random.choice(port)}/count/{random.choice(FRUITS)}/"
            async with session.post(url) as response:
                response.raise_for_status()
    print(f"{number} posted")


if __name__ == "__main__":
    app.main()
