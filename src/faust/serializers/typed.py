"""What a model is to serializers, and which model is meant by a payload.

The models themselves live a floor above. They are known here by a Protocol and by the table of
namespaces into which they write themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol, TypeGuard

from faust.serializers.codecs import CodecArg

__all__ = [
    "BLESSED_KEY",
    "Modelled",
    "UnknownNamespace",
    "blessed_namespace",
    "builder_of",
    "is_model",
    "is_stock_model",
    "maybe_model",
    "model_serializer",
    "namespaces",
    "revive",
    "type_name",
]

BLESSED_KEY = "__faust"
"""The key under which a payload names its model."""


class Modelled(Protocol):
    """What serializers ask of a model class.

    A class may also have two classmethods. ``_compile_loads(loads)`` returns a function from bytes
    to an instance that does what ``from_data(loads(data), preferred_type=cls)`` does, and may keep
    the decoded dictionary, because it is nobody else's. ``_compile_dumps(dumps)`` returns a
    function from an instance to bytes, or None when only the method ``dumps`` will do.
    """

    __is_model__: ClassVar[bool]
    _options: ClassVar[Any]

    @classmethod
    def from_data(cls, data: Any, *, preferred_type: Any = None) -> Any:
        """Build an instance from decoded data."""
        ...

    def dumps(self, *, serializer: CodecArg = None) -> Any:
        """Encode this instance."""
        ...


namespaces: dict[str, type[Modelled]] = {}
"""Every model that is not abstract, by the namespace under which it travels."""


class UnknownNamespace(KeyError):
    """A payload names a model that is not registered in this process; the argument is the name."""

    def __str__(self) -> str:
        return (
            f"the payload is a model of namespace {self.args[0]!r}, and no such model is known "
            "here; import the module that defines it, or give the topic a value_type"
        )


def blessed_namespace(data: Any) -> str | None:
    """Return the namespace that decoded *data* carries; None when it carries none. Never raises."""
    if type(data) is dict or isinstance(data, Mapping):
        blessed = data.get(BLESSED_KEY)
        if type(blessed) is dict or isinstance(blessed, Mapping):
            namespace = blessed.get("ns")
            if isinstance(namespace, str):
                return namespace
    return None


def revive(data: Any) -> Any:
    """Turn *data* into the model it names; without a name it is returned unchanged.

    Raises:
        UnknownNamespace: (a `KeyError`) the model it names is not registered.
    """
    namespace = blessed_namespace(data)
    if namespace is None:
        return data
    try:
        model = namespaces[namespace]
    except KeyError:
        raise UnknownNamespace(namespace) from None
    return model.from_data(data)


def maybe_model(data: Any) -> Any:
    """Turn *data* into the model it names if that is known; else return it unchanged."""
    namespace = blessed_namespace(data)
    model = None if namespace is None else namespaces.get(namespace)
    return data if model is None else model.from_data(data)


def is_model(typ: Any) -> TypeGuard[type[Modelled]]:
    """Say whether *typ* is a model class."""
    return isinstance(typ, type) and bool(getattr(typ, "__is_model__", False))


def is_stock_model(typ: Any) -> bool:
    """Say whether *typ* is a model that is an object on the wire: it has no methods of its own to be read or written."""
    return is_model(typ) and all(
        str(getattr(getattr(typ, name, None), "__module__", "")).startswith("faust.models.")
        for name in ("from_data", "dumps", "to_representation")
    )


def model_serializer(typ: Any) -> CodecArg:
    """Return the serializer that a model class declares; None for anything else."""
    serializer: CodecArg = typ._options.serializer if is_model(typ) else None
    return serializer


def type_name(typ: Any) -> str:
    """Return how to name *typ* in a message."""
    return typ.__qualname__ if isinstance(typ, type) else str(typ)


def builder_of(typ: Any) -> Callable[[Any], Any] | None:
    """Return how a model-like class is built from decoded data; None when it is not model-like."""
    from_data = getattr(typ, "from_data", None) if isinstance(typ, type) else None
    if from_data is None:
        return None

    def build(obj: Any) -> Any:
        return from_data(obj, preferred_type=typ)

    return build
