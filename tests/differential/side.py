"""One side of the comparison: run by our Python and by that of faust-streaming, with the same input.

Reads JSON from standard input: cases (source of classes, name of the class, expression of a value),
and for each the bytes that some side has written, or nothing. Writes what it makes of them: bytes of
the value, or a description of what was read. Uses only what both libraries document.
"""

from __future__ import annotations

import base64
import datetime as dt
import decimal
import enum
import json
import sys
import types
import uuid
import warnings
from typing import Any


def describe(value: Any) -> Any:
    """Write down a value with its types, so that two processes can compare."""
    if getattr(value, "__is_model__", False):
        fields = type(value)._options.fields
        return [type(value).__name__, {name: describe(getattr(value, name)) for name in fields}]
    if isinstance(value, dict):
        return {"dict": sorted(([describe(k), describe(v)] for k, v in value.items()), key=repr)}
    if isinstance(value, (set, frozenset)):
        return {"set": sorted((describe(item) for item in value), key=repr)}
    if isinstance(value, (list, tuple)):
        return [type(value).__name__, [describe(item) for item in value]]
    if isinstance(value, dt.datetime):
        offset = value.utcoffset()
        return ["datetime", value.isoformat(), None if offset is None else offset.total_seconds()]
    return [type(value).__name__, str(value)]


def prepare() -> tuple[types.ModuleType, Any]:
    """Make the module in which the cases are defined, and a registry of serializers."""
    import typing

    import faust
    from faust.serializers import Registry

    module = types.ModuleType("generated")
    module.__dict__.update({name: getattr(typing, name) for name in typing.__all__})
    module.__dict__.update(
        faust=faust,
        datetime=dt.datetime,
        date=dt.date,
        timedelta=dt.timedelta,
        timezone=dt.timezone,
        Decimal=decimal.Decimal,
        UUID=uuid.UUID,
        Enum=enum.Enum,
    )
    sys.modules["generated"] = module
    return module, Registry(key_serializer="raw", value_serializer="json")


def encode(case: dict[str, Any], module: types.ModuleType, registry: Any) -> dict[str, Any]:
    """Write the value of a case."""
    value = eval(case["value"], module.__dict__)
    data = registry.dumps_value(case_type(case, module), value)
    key = registry.dumps_key(None, value, serializer="json") if not case["name"] else data
    return {"value": text(data), "key": text(key), "described": describe(value)}


def decode(
    case: dict[str, Any], payload: str, module: types.ModuleType, registry: Any
) -> dict[str, Any]:
    """Read what a side has written, as the type of the case and without a type; write it again."""
    typ = case_type(case, module)
    data = base64.b64decode(payload)
    chain = getattr(getattr(typ, "_options", None), "serializer", None)
    read = registry.loads_value(typ, data, serializer=chain)
    untyped = registry.loads_value(None, data, serializer=chain)
    return {
        "typed": describe(read),
        "untyped": describe(untyped),
        "again": text(registry.dumps_value(typ, read)),
    }


def case_type(case: dict[str, Any], module: types.ModuleType) -> Any:
    """Return the class of a case; None: it is about plain objects."""
    return getattr(module, case["name"]) if case["name"] else None


def text(data: bytes | None) -> str:
    """Put bytes into JSON; a key that is None has none."""
    return base64.b64encode(data or b"").decode()


def main() -> None:
    """Answer one request."""
    warnings.simplefilter("ignore")
    request = json.load(sys.stdin)
    module, registry = prepare()
    answers: list[Any] = []
    for case, payload in zip(request["cases"], request["payloads"]):  # noqa: B905 - as in older Pythons
        try:
            exec(case["source"], module.__dict__)
            if payload is None:
                answers.append(encode(case, module, registry))
            else:
                answers.append(decode(case, payload, module, registry))
        except Exception as exc:
            answers.append({"error": f"{type(exc).__name__}: {exc}"})
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
