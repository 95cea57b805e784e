"""Models: classes that know how they travel. Here: options, namespaces, and which class is meant.

A model travels as an object that ends with the *blessed key*, ``"__faust": {"ns": <namespace>}``.
The reader decides the class: if it asked for none, the namespace does; if it asked for one, that
one is built, unless the model that the payload names allows to be chosen by its payload
(``allow_blessed_key`` or ``polymorphic_fields``).

Classes enter the table of namespaces when they are made. The table itself lives with the
serializers, a floor below, which look models up without knowing them.
"""

from __future__ import annotations

import sys
import types
import typing
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any, ClassVar, Self

from faust.models.dates import parse_iso8601
from faust.serializers import codecs
from faust.serializers.codecs import CodecArg
from faust.serializers.typed import (
    BLESSED_KEY,
    Modelled,
    UnknownNamespace,
    maybe_model,
    namespaces,
)
from faust.utils.names import qualified_name

__all__ = [
    "Model",
    "ModelOptions",
    "annotations_of",
    "maybe_model",
    "merge_options",
    "registry",
]

registry: dict[str, type[Modelled]] = namespaces
"""Every model that is not abstract, by namespace."""


@dataclass(kw_only=True)
class ModelOptions:
    """The class keywords of a model, and indexes of its fields."""

    serializer: CodecArg = None
    namespace: str = ""
    include_metadata: bool = True
    polymorphic_fields: bool = False
    allow_blessed_key: bool = False
    isodates: bool = False
    decimals: bool = False
    coerce: bool = False
    coercions: Mapping[Any, Callable[[Any], Any]] = field(default_factory=dict)
    date_parser: Callable[[Any], datetime] = parse_iso8601

    fields: Mapping[str, Any] = field(default_factory=dict)
    """Name to type, in the order of declaration."""
    fieldset: frozenset[str] = frozenset()
    fieldpos: Mapping[int, str] = field(default_factory=dict)
    optionalset: frozenset[str] = frozenset()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    descriptors: Mapping[str, Any] = field(default_factory=dict)


KEYWORDS = frozenset(option.name for option in fields(ModelOptions)) - {
    "fields",
    "fieldset",
    "fieldpos",
    "optionalset",
    "defaults",
    "descriptors",
}
"""Class keywords that are options; ``abstract`` is one more, and not inherited."""

_LATER = {
    "validation": "fields are not validated yet: leave it out and check in __post_init__",
    "lazy_creation": "classes are always made at once: leave it out",
}


class Model:
    """What every kind of model has in common; `faust.Record` is the kind that is used.

    Attributes:
        _options: The class keywords, and indexes of the fields.
    """

    __is_model__: ClassVar[bool] = True
    __is_abstract__: ClassVar[bool] = True
    _options: ClassVar[ModelOptions] = ModelOptions()

    # -- from data

    @classmethod
    def _from_own(cls, data: dict[str, Any]) -> Self:
        """Build an instance of this very class from a dictionary that may be kept.

        The blessed key has been taken out.
        """
        raise NotImplementedError(f"{cls.__qualname__} is abstract: it has no instances")

    @classmethod
    def from_data(cls, data: Any, *, preferred_type: Any = None) -> Any:
        """Build an instance from decoded *data*; an instance is returned as it is.

        Without a *preferred_type* the class that the blessed key names is built, whatever this
        class is; with one, this class is, unless the named class allows to be chosen by payloads.
        Keys that are no fields become plain attributes; *data* is not changed.

        Raises:
            TypeError: *data* is no mapping, or misses a required field.
            KeyError: the blessed key names a model that is not registered.
        """
        if isinstance(data, Model):
            return data
        if not isinstance(data, Mapping):
            raise TypeError(f"{cls.__name__} is built from an object, not from {data!r:.100}")
        own = dict(data)
        return cls._meant_by(own.pop(BLESSED_KEY, None), preferred_type)._from_own(own)

    @classmethod
    def _meant_by(cls, blessed: Any, preferred: Any) -> Any:
        """Return the class that is to be built from data with this blessed key."""
        namespace = blessed.get("ns") if isinstance(blessed, Mapping) else None
        if not isinstance(namespace, str):
            return cls
        named: Any = namespaces.get(namespace)
        if getattr(preferred, "__is_abstract__", True):
            if named is None:
                raise UnknownNamespace(namespace)
            return named
        if named is not None:
            options = named._options
            if options.allow_blessed_key or options.polymorphic_fields:
                return named
        return cls

    @classmethod
    def _compile_loads(cls, loads: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
        """Return ``from_data(loads(data), preferred_type=cls)`` as one function.

        The decoded dictionary is nobody else's, so the instance may keep it.
        """
        from_data: Any = cls.from_data
        if from_data.__func__ is not Model.from_data.__func__ or cls.__is_abstract__:  # type: ignore[attr-defined]

            def load_any(data: bytes) -> Any:
                return from_data(loads(data), preferred_type=cls)

            return load_any
        build = cls._from_own
        own = {"ns": cls._options.namespace}

        def load(data: bytes) -> Any:
            obj = loads(data)
            if type(obj) is not dict:
                return from_data(obj, preferred_type=cls)
            blessed = obj.pop(BLESSED_KEY, None)
            if blessed is None or blessed == own:
                return build(obj)
            return cls._meant_by(blessed, cls)._from_own(obj)

        return load

    @classmethod
    def _compile_dumps(cls, dumps: Callable[[Any], bytes]) -> Callable[[Any], Any] | None:
        """Return what encodes instances of this class by *dumps*; None: only `dumps` knows."""
        if cls.dumps is not Model.dumps:
            return None
        represent = cls.to_representation
        return lambda model: dumps(represent(model))

    @classmethod
    def loads(
        cls, s: bytes | str, *, default_serializer: CodecArg = None, serializer: CodecArg = None
    ) -> Any:
        """Decode *s* with the model's own serializer, else with *serializer*, and build a model.

        Arguments:
            s: The encoded model.
            default_serializer: Deprecated name of *serializer*.
            serializer: Codec to use when the model declares none.
        """
        if default_serializer is not None:
            warnings.warn(
                "default_serializer is deprecated: use serializer", DeprecationWarning, stacklevel=2
            )
        codec = cls._options.serializer or serializer or default_serializer
        return cls.from_data(codecs.loads(codec, codecs.want_bytes(s)))

    # -- to data

    def to_representation(self) -> Any:
        """Return what is encoded."""
        raise NotImplementedError(f"{type(self).__qualname__} does not say how it is represented")

    def dumps(self, *, serializer: CodecArg = None) -> Any:
        """Encode with *serializer*, else the model's own; with neither, return what is encoded.

        Raises:
            TypeError: a field holds something that the codec cannot write.
        """
        return codecs.dumps(serializer or self._options.serializer, self.to_representation())

    def __json__(self) -> Any:
        return self.to_representation()


def annotations_of(cls: type, known: Mapping[str, Any]) -> dict[str, Any]:
    """Return the annotations of the body of *cls*, resolved; class variables are left out.

    Raises:
        NameError: an annotation names something that its module does not know.
    """
    if sys.version_info >= (3, 14):
        import annotationlib

        found = annotationlib.get_annotations(cls, format=annotationlib.Format.FORWARDREF)
    else:
        found = vars(cls).get("__annotations__", {})
    body = types.new_class("_", exec_body=lambda ns: ns.update(__annotations__=dict(found)))
    module = sys.modules.get(cls.__module__)
    try:
        hints = typing.get_type_hints(body, vars(module) if module else {}, {**known})
    except NameError as exc:
        raise NameError(
            f"{cls.__qualname__}: {exc}; annotations are looked up in the module {cls.__module__}, "
            "so what they name must be defined there, above this class, and not inside a function",
            name=exc.name,
        ) from exc
    return {
        name: hints[name]
        for name in found
        if hints[name] is not ClassVar and typing.get_origin(hints[name]) is not ClassVar
    }


def merge_options(cls: type[Model], keywords: dict[str, Any]) -> ModelOptions:
    """Join class keywords, the inner class ``Options`` and what is inherited, in this order."""
    inner = vars(cls).get("Options")
    if isinstance(inner, type):
        given = {name: value for name, value in vars(inner).items() if not name.startswith("_")}
        keywords = {**given, **keywords}
        delattr(cls, "Options")
    for name, advice in _LATER.items():
        if keywords.pop(name, False):
            raise NotImplementedError(f"{cls.__qualname__}: {name}=True: {advice}")
    unknown = sorted(keywords.keys() - KEYWORDS)
    if unknown:
        raise TypeError(
            f"{cls.__qualname__}: unknown class keyword(s) {', '.join(unknown)}; "
            f"known are {', '.join(sorted(KEYWORDS | {'abstract'}))}"
        )
    inherited = next(vars(base)["_options"] for base in cls.__mro__[1:] if "_options" in vars(base))
    given = {name: value for name, value in keywords.items() if value is not None}
    given.setdefault("namespace", qualified_name(cls))
    given["coercions"] = {**inherited.coercions, **given.get("coercions", {})}
    merged: ModelOptions = replace(inherited, **given)
    return merged
