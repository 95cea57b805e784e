"""Pages, models and answers have types; what decorates them keeps them (issue 7, Web)."""

from typing import assert_type

from yarl import URL

import faust
from faust.web import Blueprint, Request, ResourceOptions, Response, View, gives_model, takes_model


class Point(faust.Record):
    x: int


app = faust.App("shop")
counts = app.Table("counts", key_type=str, value_type=int, default=int)
clicks = app.topic("clicks", key_type=str, value_type=int)

# -- pages: a function becomes a view, a view stays one


@app.page("/count/{word}/", cors_options={"*": ResourceOptions(allow_headers="*")})
@app.table_route(counts, match_info="word")
async def count(web: View, request: Request, word: str) -> Response:
    """Answer by the worker that has the key."""
    assert_type(web.json({"count": counts[word]}), Response)
    assert_type(web.text("x", status=201, headers={"X": "y"}), Response)
    assert_type(await web.read_request_content(request), bytes)
    assert_type(web.url_for("count", word=word), URL)
    return web.html("<p>")


assert_type(count, type[View])


@app.page("/points/", name="points")
class Points(View):
    """Each method may be decorated."""

    @takes_model(Point)
    @gives_model(Point)
    async def post(self, request: Request, point: Point) -> Point:
        """Answer with what came."""
        return point

    @app.topic_route(clicks, query_param="key")
    async def get(self, request: Request) -> Response:
        """Answer by the worker that reads the key."""
        raise self.NotFound(request.query["key"])


# -- blueprints return what they decorate

blueprint = Blueprint("user", url_prefix="/user")
cache = blueprint.cache(timeout=10.0)


@blueprint.route("/{name}/")
class User(View):
    """A cached view."""

    nickname: str = "x"

    @cache.view(timeout=3.0)
    async def get(self, request: Request, name: str) -> Response:
        """Answer."""
        return self.json(name)


assert_type(User.nickname, str)

# -- another server


@app.web_server
class Server(faust.Service):
    """A service is returned as it is."""

    port: int = 0


assert_type(Server.port, int)
assert_type(app.web_server_url, URL)
assert_type(app.health.why_not_ready(), list[str])
