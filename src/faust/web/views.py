"""View: what answers the requests for one path.

A view is made once, when it is declared, and answers every request: what it keeps in attributes is shared by all of them.
This module does not load the HTTP library; the driver makes the responses.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from yarl import URL

from faust import exceptions as errors
from faust.utils.json import JSONDecodeError
from faust.web import exceptions

if TYPE_CHECKING:
    from aiohttp.web import Request, Response

__all__ = ["METHODS", "Method", "View", "ViewHandler", "gives_model", "takes_model"]

ViewHandler = Callable[..., Coroutine[Any, Any, Any]]

Method = TypeVar("Method", bound=ViewHandler)
"""A method of a view; decorated ones stay methods, for type checkers: what they are called with is the server's affair."""

METHODS = ("HEAD", "GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "SEARCH")


class View:
    """Answers the requests for a path.

    Override ``get``, ``post`` and so on; each takes the request, and the named parts of the path as keywords.

    Arguments:
        app: The application.
        web: Its web server.

    Attributes:
        view_name: Name, for `url_for`.
        view_path: Path as it was declared.
    """

    ServerError: ClassVar[type[exceptions.WebError]] = exceptions.ServerError
    ValidationError: ClassVar[type[exceptions.WebError]] = exceptions.ValidationError
    ParseError: ClassVar[type[exceptions.WebError]] = exceptions.ParseError
    NotAuthenticated: ClassVar[type[exceptions.WebError]] = exceptions.NotAuthenticated
    PermissionDenied: ClassVar[type[exceptions.WebError]] = exceptions.PermissionDenied
    NotFound: ClassVar[type[exceptions.WebError]] = exceptions.NotFound

    view_name: str = ""
    view_path: str = ""

    def __init__(self, app: Any, web: Any) -> None:
        self.app = app
        self.web = web
        self.methods: dict[str, ViewHandler] = {
            method: getattr(self, method.lower()) for method in METHODS
        }
        self.__post_init__()

    def __post_init__(self) -> None:
        """Override to prepare the view."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.view_path}>"

    @classmethod
    def from_handler(cls, fun: ViewHandler) -> type[View]:
        """Make a view class whose ``get`` is *fun*.

        Raises:
            TypeError: *fun* cannot be called.
        """
        if not callable(fun):
            raise TypeError(f"a view is made of a coroutine function, got {type(fun).__name__}")
        namespace = {
            "get": fun,
            "__doc__": fun.__doc__,
            "__module__": fun.__module__,
        }
        return type(getattr(fun, "__name__", type(fun).__name__), (cls,), namespace)

    @classmethod
    def get_methods(cls) -> set[str]:
        """Return the HTTP methods that are answered: HEAD, and those that are overridden."""
        return {"HEAD"} | {
            method
            for method in METHODS
            if getattr(cls, method.lower()) is not getattr(View, method.lower())
        }

    # -- answering

    async def __call__(self, request: Any) -> Any:
        """Answer a request."""
        return await self.dispatch(request)

    async def dispatch(self, request: Any) -> Any:
        """Answer a request: sensors are told before and after, a `WebError` becomes an answer.

        Raises:
            TypeError: The method is no coroutine function, or what it returns is no response.
        """
        app, sensors = self.app, self.app.sensors
        state = sensors.on_web_request_start(app, request, view=self)
        response: Any = None
        try:
            try:
                answer = self.methods[request.method](request, **request.match_info)
                if not inspect.isawaitable(answer):
                    raise TypeError(f"{self!r}: write {request.method.lower()} as `async def`")
                answer = await answer
            except exceptions.WebError as exc:
                answer = await self.on_request_error(request, exc)
            if not hasattr(answer, "status"):
                raise TypeError(
                    f"{self!r} must return a response, such as self.json(...), not {answer!r}"
                )
            response = answer
        finally:
            sensors.on_web_request_end(app, request, response, state, view=self)
        return response

    async def on_request_error(self, request: Any, exc: exceptions.WebError) -> Any:
        """Make the answer for an error; override to make another one."""
        return self.error(exc.code, exc.detail, headers=exc.headers, **exc.extra_context)

    # Any arguments, for type checkers: what overrides these takes the parts of its own path.

    async def head(self, *args: Any, **kwargs: Any) -> Any:
        """Answer HEAD: as GET, whose body is not sent."""
        return await self.get(*args, **kwargs)

    async def get(self, *args: Any, **kwargs: Any) -> Any:
        """Answer GET."""
        raise self._not_allowed("GET")

    async def post(self, *args: Any, **kwargs: Any) -> Any:
        """Answer POST."""
        raise self._not_allowed("POST")

    async def put(self, *args: Any, **kwargs: Any) -> Any:
        """Answer PUT."""
        raise self._not_allowed("PUT")

    async def patch(self, *args: Any, **kwargs: Any) -> Any:
        """Answer PATCH."""
        raise self._not_allowed("PATCH")

    async def delete(self, *args: Any, **kwargs: Any) -> Any:
        """Answer DELETE."""
        raise self._not_allowed("DELETE")

    async def options(self, *args: Any, **kwargs: Any) -> Any:
        """Answer OPTIONS."""
        raise self._not_allowed("OPTIONS")

    async def search(self, *args: Any, **kwargs: Any) -> Any:
        """Answer SEARCH."""
        raise self._not_allowed("SEARCH")

    def _not_allowed(self, method: str) -> exceptions.WebError:
        allowed = ",".join(sorted(self.get_methods()))
        return exceptions.MethodNotAllowed(
            f"Method {method} not allowed.", headers={"Allow": allowed}
        )

    async def read_request_content(self, request: Any) -> bytes:
        """Return the body of a request."""
        body: bytes = await self.web.read_request_content(request)
        return body

    # -- responses

    def text(
        self,
        value: str,
        *,
        content_type: str | None = None,
        status: int = 200,
        reason: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Answer with text."""
        return self._respond("text", value, content_type, status, reason, headers)

    def html(
        self,
        value: str,
        *,
        content_type: str | None = None,
        status: int = 200,
        reason: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Answer with HTML."""
        return self._respond("html", value, content_type, status, reason, headers)

    def json(
        self,
        value: Any,
        *,
        content_type: str | None = None,
        status: int = 200,
        reason: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Answer with JSON; *value* is encoded by `faust.utils.json.dumps`."""
        return self._respond("json", value, content_type, status, reason, headers)

    def bytes(
        self,
        value: bytes,
        *,
        content_type: str | None = None,
        status: int = 200,
        reason: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Answer with bytes."""
        return self._respond("bytes", value, content_type, status, reason, headers)

    def _respond(
        self,
        kind: str,
        value: Any,
        content_type: str | None,
        status: int,
        reason: str | None,
        headers: Mapping[str, str] | None,
    ) -> Response:
        made: Response = getattr(self.web, kind)(
            value, content_type=content_type, status=status, reason=reason, headers=headers
        )
        return made

    def error(
        self, status: int, reason: str, headers: Mapping[str, str] | None = None, **kwargs: Any
    ) -> Response:
        """Answer with an error: JSON ``{"error": reason, ...}``."""
        return self.json({"error": reason, **kwargs}, status=status, headers=headers)

    def notfound(self, reason: str = "Not Found", **kwargs: Any) -> Response:
        """Answer 404; raising ``self.NotFound`` is the newer way."""
        return self.error(404, reason, **kwargs)

    def bytes_to_response(self, data: Any) -> Response:
        """Make a response of what `response_to_bytes` gave."""
        made: Response = self.web.bytes_to_response(data)
        return made

    def response_to_bytes(self, response: Any) -> Any:
        """Return a response as bytes, for a cache."""
        return self.web.response_to_bytes(response)

    # -- addresses

    def path_for(self, view_name: str, **kwargs: Any) -> str:
        """Return the path of a view; see `Web.url_for`."""
        path: str = self.web.url_for(view_name, **kwargs)
        return path

    def url_for(self, view_name: str, _base_url: str | URL | None = None, **kwargs: Any) -> URL:
        """Return the address of a view on this worker, or below *_base_url*."""
        base = str(self.app.conf.canonical_url if _base_url is None else _base_url)
        return URL(
            f"{base.rstrip('/')}/{self.path_for(view_name, **kwargs).lstrip('/')}", encoded=True
        )

    def route(self, pattern: str, handler: View) -> View:
        """Let *handler* answer for another path, too."""
        self.web.route(pattern, handler)
        return handler


def takes_model(Model: type[Any]) -> Callable[[Method], Method]:  # noqa: N803 - the documented name
    """Give the decorated method of a view what is in the body of the request, as the argument after ``request``.

    Arguments:
        Model: A `faust.Record`, whose JSON the body is.

    A body that is none is answered with 400 and the reason.
    """

    def decorate(method: Method) -> Method:
        @functools.wraps(method)
        async def handle(self: View, request: Request, *args: Any, **kwargs: Any) -> Any:
            body = await self.read_request_content(request)
            try:
                model = Model.loads(body, serializer="json")
            except (JSONDecodeError, UnicodeDecodeError) as exc:
                raise exceptions.ParseError(f"The body is not JSON: {exc}") from exc
            except errors.DecodeError as exc:
                raise exceptions.ParseError(f"Malformed request: {exc.reason}") from exc
            except (TypeError, ValueError, LookupError) as exc:
                raise exceptions.ValidationError(f"The body is no {Model.__name__}: {exc}") from exc
            if not isinstance(model, Model):
                raise exceptions.ValidationError(f"The body is no {Model.__name__}.")
            return await method(self, request, model, *args, **kwargs)

        return cast("Method", handle)

    return decorate


def gives_model(Model: type[Any]) -> Callable[[Method], Method]:  # noqa: ARG001, N803 - for the reader
    """Answer with what the decorated method returns, as JSON: a model, or anything that has a form in JSON."""

    def decorate(method: Method) -> Method:
        @functools.wraps(method)
        async def handle(self: View, request: Request, *args: Any, **kwargs: Any) -> Any:
            return self.json(await method(self, request, *args, **kwargs))

        return cast("Method", handle)

    return decorate
