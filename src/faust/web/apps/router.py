"""``/router/``: which worker has which partitions, and which has a key."""

from __future__ import annotations

from typing import Any

from faust.web.blueprints import Blueprint
from faust.web.exceptions import NotFound, ParseError
from faust.web.keys import key_of
from faust.web.routing import unavailable
from faust.web.views import View

__all__ = ["KeyDetail", "TableDetail", "TablesList", "TopicsList", "blueprint"]

blueprint: Blueprint = Blueprint("router")


@blueprint.route("/", name="list")
class TablesList(View):
    """Which worker has which partitions of tables."""

    async def get(self, request: Any) -> Any:
        """Answer URL -> changelog topic -> partitions."""
        return self.json(self.app.router.tables_metadata())


@blueprint.route("/topics", name="topics")
class TopicsList(View):
    """Which worker reads which partitions of other topics."""

    async def get(self, request: Any) -> Any:
        """Answer URL -> topic -> partitions."""
        return self.json(self.app.router.external_topics_metadata())


@blueprint.route("/{name}/", name="detail")
class TableDetail(View):
    """Which worker has which partitions of a table."""

    async def get(self, request: Any, name: str) -> Any:
        """Answer URL -> changelog topic -> partitions."""
        if name not in self.app.tables:
            raise NotFound("unknown table", name=name)
        return self.json(self.app.router.table_metadata(name))


@blueprint.route("/{name}/{key}/", name="key-detail")
class KeyDetail(View):
    """Which worker has a key."""

    async def get(self, request: Any, name: str, key: str) -> Any:
        """Answer its URL."""
        table = self.app.tables.get(name)
        if table is None:
            raise unavailable(f"there is no table {name!r}")
        try:
            owner = self.app.router.key_store(name, key_of(table, key))
        except KeyError as exc:
            raise unavailable(str(exc.args[0])) from exc
        except TypeError as exc:
            raise ParseError(str(exc)) from exc
        return self.json(str(owner))
