"""Schemas with methods of their own, as tables use them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from faust.messages import Message
from faust.ports import AppT
from faust.serializers.schemas import Schema

__all__ = ["SchemaCompiler"]


class SchemaCompiler:
    """Makes functions of types, as the registry does, but through the methods that a schema overrides.

    Attributes:
        own_keys: Keys go through methods of the schema: what comes back may differ from what went in.
        own_values: The same for values.
    """

    def __init__(self, app: AppT, schema: Schema) -> None:
        self.app = app
        self.schema = schema
        self.own_keys: bool = self._overrides("dumps_key") or self._overrides("loads_key")
        self.own_values: bool = self._overrides("dumps_value") or self._overrides("loads_value")

    def compile_loads(
        self, typ: Any, serializer: Any = None, *, key: bool = False
    ) -> Callable[[bytes | None], Any]:
        """Return the function that decodes bytes to *typ*."""
        app, schema = self.app, self._of(typ, key=key)
        if not self._overrides("loads_key" if key else "loads_value"):
            loads: Callable[[bytes | None], Any] = app.serializers.compile_loads(
                typ, serializer, key=key
            )
            return loads
        if key:
            return lambda raw: schema.loads_key(app, _message(raw, None), serializer=serializer)
        return lambda raw: schema.loads_value(app, _message(None, raw), serializer=serializer)

    def compile_dumps(
        self, typ: Any, serializer: Any = None, *, key: bool = False
    ) -> Callable[[Any], bytes | None]:
        """Return the function that encodes *typ*."""
        app, schema = self.app, self._of(typ, key=key)
        if not self._overrides("dumps_key" if key else "dumps_value"):
            dumps: Callable[[Any], bytes | None] = app.serializers.compile_dumps(
                typ, serializer, key=key
            )
            return dumps
        method = schema.dumps_key if key else schema.dumps_value
        return lambda obj: method(app, obj, serializer=serializer, headers={})[0]

    def _of(self, typ: Any, *, key: bool) -> Schema:
        schema = self.schema.copy()
        if key:
            schema.key_type = typ
        else:
            schema.value_type = typ
        return schema

    def _overrides(self, name: str) -> bool:
        return getattr(type(self.schema), name) is not getattr(Schema, name)


def _message(key: bytes | None, value: bytes | None) -> Message:
    return Message("", -1, -1, -1.0, None, (), key, value)
