"""``/table/``: the tables, and what stands under a key."""

from __future__ import annotations

from typing import Any

from faust.exceptions import SameNode
from faust.web.access import why_values_are_withheld
from faust.web.blueprints import Blueprint
from faust.web.exceptions import NotAcceptable, NotFound, ParseError, PermissionDenied
from faust.web.keys import key_of
from faust.web.routing import raise_if_moving, unavailable
from faust.web.views import View

__all__ = ["KeyDetail", "TableDetail", "TablesList", "blueprint"]

blueprint: Blueprint = Blueprint("tables")


@blueprint.route("/", name="list")
class TablesList(View):
    """The tables."""

    async def get(self, request: Any) -> Any:
        """Answer their names, and what they are for."""
        return self.json([_shown(table) for table in self.app.tables.values()])


@blueprint.route("/{name}/", name="detail")
class TableDetail(View):
    """A table."""

    async def get(self, request: Any, name: str) -> Any:
        """Answer its name, and what it is for."""
        table = self.app.tables.get(name)
        if table is None:
            raise NotFound("unknown table", name=name)
        return self.json(_shown(table))


@blueprint.route("/{name}/{key}/", name="key-detail")
class KeyDetail(View):
    """What stands under a key."""

    async def get(self, request: Any, name: str, key: str) -> Any:
        """Answer the value, asked from the worker that has it."""
        refusal = why_values_are_withheld(request, self.app.conf)
        if refusal is not None:
            raise PermissionDenied(refusal)
        table = self.app.tables.get(name)
        if table is None:
            raise unavailable(f"there is no table {name!r}")
        wanted = key_of(table, key)
        try:
            return await self.app.router.route_req(name, wanted, self.web, request)
        except SameNode:
            pass
        except KeyError as exc:
            raise unavailable(str(exc.args[0])) from exc
        except TypeError as exc:
            raise ParseError(str(exc)) from exc
        raise_if_moving(self.app)
        try:
            found = wanted in table
        except TypeError as exc:  # of a windowed table, whose keys have windows
            raise ParseError(str(exc)) from exc
        if not found:
            raise NotFound("key not found", key=key, table=name)
        try:
            return self.json(table[wanted])
        except TypeError as exc:
            raise NotAcceptable(f"The value cannot be shown: {exc}") from exc


def _shown(table: Any) -> dict[str, Any]:
    return {"name": table.name, "help": table.help}
