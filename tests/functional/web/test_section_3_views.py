"""web.md sections 3 to 6: views, their answers and errors, names and addresses, blueprints, CORS, static files."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import pytest
from yarl import URL

import faust
from faust.web import Blueprint, ResourceOptions, View, exceptions, gives_model, takes_model
from tests.support.web import served, web_app


class Order(faust.Record, validation=True):
    """What is posted."""

    id: int
    what: str = "tea"


async def test_functions_become_views() -> None:
    """web.md 3: a function becomes the get of a new class with its name, docstring and module."""
    app = web_app()

    @app.page("/count/{word}/", name="counts")
    async def count(self: View, request: Any, word: str) -> Any:
        """Count a word."""
        return self.json({"word": word, "q": request.query["q"]})

    assert issubclass(count, View)
    assert (count.__name__, count.__doc__, count.__module__) == ("count", "Count a word.", __name__)
    assert (count.view_name, count.view_path) == ("counts", "/count/{word}/")
    async with served(app) as client:
        assert await client.json("/count/a%20b/?q=%C3%A4") == (200, {"word": "a b", "q": "ä"})
        response, body = await client("/count/x/?q=1", "HEAD")
        assert (response.status, body) == (200, b"")
        response, _ = await client("/count/x/", "POST")
        assert response.status == 405
        assert response.headers["Allow"] == "GET,HEAD"
        assert (await client("/count/x"))[0].status == 404  # no redirect to the path with a slash
        assert (await client("/count/x/"))[0].status == 500  # the view raises KeyError


async def test_classes() -> None:
    """web.md 3: a subclass of View answers for every method it has; it is made once and shared by all requests."""
    app = web_app()
    made = []

    @app.page("no-slash/{n:\\d+}/")
    class Everything(View):
        calls: ClassVar[list[str]] = []

        def __post_init__(self) -> None:
            made.append(self)

        async def post(self, request: Any, n: str) -> Any:
            return self.text(f"post {n}")

        async def put(self, request: Any, n: str) -> Any:
            return self.text(f"put {n}")

        async def patch(self, request: Any, n: str) -> Any:
            return self.text(f"patch {n}")

        async def delete(self, request: Any, n: str) -> Any:
            return self.text(f"delete {n}")

        async def options(self, request: Any, n: str) -> Any:
            return self.text(f"options {n}")

        async def search(self, request: Any, n: str) -> Any:
            return self.text(f"search {n}")

    assert Everything.get_methods() == {
        "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "SEARCH",
    }  # fmt: skip
    async with served(app) as client:
        for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "SEARCH"):
            assert (await client("/no-slash/7/", method))[1] == f"{method.lower()} 7".encode()
        assert (await client("/no-slash/7/"))[0].status == 405
        response, _ = await client("/no-slash/7/", "HEAD")
        assert (response.status, response.content_type) == (405, "application/json")
        assert (await client("/no-slash/x/", "POST"))[0].status == 404
    assert len(made) == 1
    assert made[0].app is app
    assert made[0].web is app.web


@pytest.mark.parametrize("target", [int, 7, "text"])
def test_what_is_no_page(target: Any) -> None:
    """web.md 3, app.md 3: a class that is no View, and what cannot be called, are refused."""
    with pytest.raises(TypeError):
        web_app().page("/x/")(target)


def test_a_path_twice() -> None:
    """web.md 3: the same path and method twice is refused when it is declared."""
    app = web_app()

    async def page(web: View, request: Any) -> Any:
        return web.text("")

    app.page("/x/")(page)
    with pytest.raises(RuntimeError, match="GET"):
        app.page("/x/")(page)


async def test_base_and_errors_of_ones_own() -> None:
    """web.md 3: base is the class of the view; on_request_error makes the answer of errors."""
    app = web_app()

    class Polite(View):
        async def on_request_error(self, request: Any, exc: exceptions.WebError) -> Any:
            return self.text(f"sorry: {exc.detail}", status=exc.code)

    @app.page("/polite/", base=Polite)
    async def polite(web: View, request: Any) -> Any:
        raise web.PermissionDenied("no")

    async with served(app) as client:
        response, body = await client("/polite/")
        assert (response.status, body) == (403, b"sorry: no")


async def test_helpers() -> None:
    """web.md 3: text, html, json, bytes, error and notfound, with status, headers and content type."""
    app = web_app()
    value = {
        "at": dt.datetime(2020, 1, 1, tzinfo=dt.UTC),
        "price": Decimal("1.20"),
        "tags": ("a",),
        "order": Order(1),
    }

    @app.page("/{kind}/")
    async def answer(web: View, request: Any, kind: str) -> Any:
        answers: dict[str, Callable[[], Any]] = {
            "text": lambda: web.text("ä", status=201, headers={"X-A": "1"}, reason="Made"),
            "html": lambda: web.html("<p>"),
            "json": lambda: web.json(value),
            "bytes": lambda: web.bytes(b"\x00\xff", content_type="image/x"),
            "error": lambda: web.error(418, "teapot", headers={"X-A": "2"}, size=3),
            "gone": lambda: web.notfound(what="it"),
            "none": lambda: None,
        }
        return answers[kind]()

    async with served(app) as client:
        response, body = await client("/text/")
        assert (response.status, response.reason, response.headers["X-A"]) == (201, "Made", "1")
        assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert body == "ä".encode()
        response, _ = await client("/html/")
        assert response.headers["Content-Type"] == "text/html; charset=utf-8"
        response, body = await client("/json/")
        assert response.headers["Content-Type"] == "application/json; charset=utf-8"
        shown = json.loads(body)
        assert (shown["at"], shown["price"], shown["tags"]) == (
            "2020-01-01T00:00:00Z",
            "1.20",
            ["a"],
        )
        assert shown["order"]["what"] == "tea"
        assert b" " not in body
        response, body = await client("/bytes/")
        assert (response.headers["Content-Type"], body) == ("image/x", b"\x00\xff")
        assert await client.json("/error/") == (418, {"error": "teapot", "size": 3})
        assert await client.json("/gone/") == (404, {"error": "Not Found", "what": "it"})
        assert (await client("/none/"))[0].status == 500


async def test_models() -> None:
    """web.md 3: takes_model reads the body, gives_model writes the answer; what does not fit is answered with 400."""
    app = web_app()

    @app.page("/orders/")
    class Orders(View):
        @takes_model(Order)
        @gives_model(Order)
        async def post(self, request: Any, order: Order) -> Any:
            return Order(order.id + 1, order.what)

    async with served(app) as client:
        status, made = await client.json(
            "/orders/", "POST", data=Order(1, "milk").dumps(serializer="json")
        )
        assert (status, made["id"], made["what"]) == (200, 2, "milk")
        for body in (
            b"{",
            b"\xff",
            b"",
            b"[]",
            b'{"what": "x"}',
            b'{"id": "seven"}',
            b"7",
            b"null",
        ):
            status, said = await client.json("/orders/", "POST", data=body)
            assert status == 400, (body, said)
            assert said["error"]


@pytest.mark.parametrize(
    ("name", "code", "detail"),
    [
        ("ServerError", 500, "Internal server error."),
        ("ValidationError", 400, "Invalid input."),
        ("ParseError", 400, "Malformed request."),
        ("AuthenticationFailed", 401, "Incorrect authentication credentials"),
        ("NotAuthenticated", 401, "Authentication credentials were not provided."),
        ("PermissionDenied", 403, "You do not have permission to perform this action."),
        ("NotFound", 404, "Not found."),
        ("MethodNotAllowed", 405, "Method not allowed."),
        ("NotAcceptable", 406, "Could not satisfy the request Accept header."),
        ("UnsupportedMediaType", 415, "Unsupported media type in request."),
        ("Throttled", 429, "Request was throttled."),
        ("ServiceUnavailable", 503, "Service unavailable. Try again later."),
    ],
)
async def test_errors(name: str, code: int, detail: str) -> None:
    """web.md 4: each error has its status and sentence; its context is part of the answer."""
    app = web_app()
    error = getattr(exceptions, name)

    @app.page("/plain/")
    async def plain(web: View, request: Any) -> Any:
        raise error

    @app.page("/own/")
    async def own(web: View, request: Any) -> Any:
        raise error("because", code=499, field="id")

    async with served(app) as client:
        assert await client.json("/plain/") == (code, {"error": detail})
        assert await client.json("/own/") == (499, {"error": "because", "field": "id"})
    assert issubclass(error, exceptions.WebError)
    assert getattr(View, name, error) is error


def test_names_and_addresses() -> None:
    """web.md 5: url_for fills in and quotes the parts; what is unknown or missing is a KeyError."""
    app = web_app(canonical_url="http://w1:8000")

    @app.page("/a/{x}/", name="first")
    async def first(web: View, request: Any, x: str) -> Any:
        return web.text("")

    web = app.web
    assert web.url_for("first", x="a b/c", more=1) == "/a/a%20b%2Fc/"
    assert web.reverse_names["first"] == "/a/{x}/"
    view = web.views["/a/{x}/"]
    assert view.path_for("first", x=1) == "/a/1/"
    assert view.url_for("first", x="ä") == URL("http://w1:8000/a/%C3%A4/", encoded=True)
    assert str(view.url_for("first", "https://other/", x=1)) == "https://other/a/1/"
    with pytest.raises(KeyError, match="No view with name 'x' found"):
        web.url_for("x")
    with pytest.raises(KeyError, match="x"):
        web.url_for("first")


async def test_blueprints(tmp_path: Path) -> None:
    """web.md 5: routes, prefixes, names, static files; one blueprint in several apps; the decorated is returned as is."""
    (tmp_path / "page.txt").write_text("static")
    (tmp_path.parent / "secret.txt").write_text("secret")
    told = []

    class Told(Blueprint):
        def on_webserver_init(self, web: Any) -> None:
            told.append(web)

    class Base(View):
        greeting = "hello"

    bp = Told("users", url_prefix="/u")

    @bp.route("/{name}/", base=Base)
    async def greet(self: Any, request: Any, name: str) -> Any:
        return self.text(f"{self.greeting} {name}")

    @bp.route("list/", name="all")
    class List(View):
        async def get(self, request: Any) -> Any:
            return self.text("list")

    bp.static("/files/", tmp_path, name="files")
    assert not isinstance(greet, type)
    assert issubclass(List, View)
    first, second = web_app(), web_app()
    bp.register(first)
    assert told == []
    second.web.blueprints.add("/people/", bp)
    assert first.web.url_for("users:greet", name="x") == "/u/x/"
    async with served(first) as one, served(second) as two:
        assert (await one("/u/ann/"))[1] == b"hello ann"
        assert (await two("/people/list/"))[1] == b"list"
        assert told == [second.web]
        assert (await one("/u/files/page.txt"))[1] == b"static"
        for path in (
            "../secret.txt",
            "%2e%2e/secret.txt",
            "..%2fsecret.txt",
            "%2e%2e%2fsecret.txt",
        ):
            response, body = await one(URL(f"/u/files/{path}", encoded=True).raw_path)
            assert (response.status in {403, 404}, b"secret" in body) == (True, False), path


async def test_cors() -> None:
    """web.md 6: preflight and headers for matching origins; a view overrides the settings; HEAD and PATCH are kept."""
    app = web_app(web_cors_options={"http://a.example": ResourceOptions(allow_headers="*")})
    mine = {
        "http://b.example": ResourceOptions(
            allow_credentials=True, expose_headers=["X-A"], max_age=60
        )
    }

    @app.page("/shared/", cors_options=mine)
    class Shared(View):
        async def get(self, request: Any) -> Any:
            return self.text("shared")

        async def patch(self, request: Any) -> Any:
            return self.text("patched")

    async with served(app) as client:
        for origin, allowed in (
            ("http://a.example", True),
            ("http://b.example", True),
            ("http://c", False),
        ):
            response, _ = await client("/shared/", headers={"Origin": origin})
            assert (response.headers.get("Access-Control-Allow-Origin") == origin) is allowed
            asked = {"Origin": origin, "Access-Control-Request-Method": "PATCH"}
            response, _ = await client("/shared/", "OPTIONS", headers=asked)
            assert (response.status == 200) is allowed
        response, _ = await client("/shared/", "PATCH", headers={"Origin": "http://b.example"})
        assert response.headers["Access-Control-Allow-Credentials"] == "true"
        assert response.headers["Access-Control-Expose-Headers"] == "X-A"
        assert (await client("/shared/", "HEAD"))[0].status == 200


async def test_sensors_are_told() -> None:
    """web.md 3: sensors are told before and after, of an unhandled exception with no response."""
    told: list[Any] = []

    class Watching(faust.Sensor):
        def on_web_request_start(self, app: Any, request: Any, *, view: Any = None) -> Any:
            return {"path": request.path}

        def on_web_request_end(
            self, app: Any, request: Any, response: Any, state: Any, *, view: Any = None
        ) -> None:
            told.append((state["path"], response and response.status, view.view_name))

    app = web_app()
    app.sensors.add(Watching())

    @app.page("/{how}/")
    async def page(web: View, request: Any, how: str) -> Any:
        if how == "bad":
            raise LookupError
        raise web.NotFound

    async with served(app) as client:
        await client("/bad/")
        await client("/missing/")
    assert told == [("/bad/", None, "page"), ("/missing/", 404, "page")]


@pytest.mark.parametrize("returned", [{"id": 1}, None, "text"])
async def test_what_is_no_response(returned: Any, caplog: pytest.LogCaptureFixture) -> None:
    """web.md 3: returning something that is no response is 500; the log names the view, and sensors get no response."""
    app = web_app()

    @app.page("/odd/")
    async def odd(web: View, request: Any) -> Any:
        return returned

    async with served(app) as client:
        assert (await client("/odd/"))[0].status == 500
    assert (
        f"<odd: /odd/> must return a response, such as self.json(...), not {returned!r}"
        in caplog.text
    )
    assert app.monitor.http_response_codes == {500: 1}


async def test_what_is_no_coroutine_function(caplog: pytest.LogCaptureFixture) -> None:
    """web.md 3: a page without ``async`` is 500, and the log says what to write; what returns an awaitable will do."""
    app = web_app()

    def plain(web: View, request: Any) -> Any:
        return web.text("plain")

    async def real(web: View, request: Any) -> Any:
        return web.text("real")

    def calling(web: View, request: Any) -> Any:
        return real(web, request)

    app.page("/plain/")(plain)
    app.page("/calling/")(calling)
    async with served(app) as client:
        assert (await client("/plain/"))[0].status == 500
        assert (await client("/calling/"))[1] == b"real"
    assert "<plain: /plain/>: write get as `async def`" in caplog.text
