"""Models: classes that know how they travel. Here: options, namespaces, and which class is meant.

A model travels as an object that ends with the *blessed key*, ``"__faust": {"ns": <namespace>}``.
The reader decides the class: if it asked for none, the namespace does; if it asked for one, that
one is built, unless the model that the payload names allows to be chosen by its payload
(``allow_blessed_key`` or ``polymorphic_fields``).

Classes enter the table of namespaces when they are made. The table itself lives with the
serializers, a floor below, which look models up without knowing them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, ClassVar, Self, TypeAlias

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
    "CoercionHandler",
    "CoercionMapping",
    "Model",
    "ModelArg",
    "ModelOptions",
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
    validation: bool = False
    coerce: bool = False
    coercions: CoercionMapping = field(default_factory=dict)
    date_parser: Callable[[Any], datetime] = parse_iso8601

    fields: Mapping[str, Any] = field(default_factory=dict)
    """Name to type, in the order of declaration."""
    fieldset: frozenset[str] = frozenset()
    fieldpos: Mapping[int, str] = field(default_factory=dict)
    optionalset: frozenset[str] = frozenset()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    descriptors: Mapping[str, Any] = field(default_factory=dict)
    tagged_fields: frozenset[str] = frozenset()
    """Fields with a tag, and fields whose models have such fields; so are the next three."""
    personal_fields: frozenset[str] = frozenset()
    sensitive_fields: frozenset[str] = frozenset()
    secret_fields: frozenset[str] = frozenset()

    @property
    def has_tagged_fields(self) -> bool:
        """Say whether there are any."""
        return bool(self.tagged_fields)

    @property
    def has_personal_fields(self) -> bool:
        """Say whether there are any."""
        return bool(self.personal_fields)

    @property
    def has_sensitive_fields(self) -> bool:
        """Say whether there are any."""
        return bool(self.sensitive_fields)

    @property
    def has_secret_fields(self) -> bool:
        """Say whether there are any."""
        return bool(self.secret_fields)


ModelArg: TypeAlias = Any
"""What ``key_type`` and ``value_type`` take: a model, a plain type, or whatever msgspec builds."""
CoercionHandler: TypeAlias = Callable[[Any], Any]
"""Makes a value of a type of one's own out of decoded data."""
CoercionMapping: TypeAlias = Mapping[Any, CoercionHandler]
"""Handlers by type, or by tuple of types."""

KEYWORDS = frozenset(
    {
        "allow_blessed_key",
        "coerce",
        "coercions",
        "date_parser",
        "decimals",
        "include_metadata",
        "isodates",
        "namespace",
        "polymorphic_fields",
        "serializer",
        "validation",
    }
)
"""Class keywords that are options; ``abstract`` and ``lazy_creation`` are two more."""


class Model:
    """What every kind of model has in common; `faust.Record` is the kind that is used.

    Attributes:
        _options: The class keywords, and indexes of the fields.
    """

    __is_model__: ClassVar[bool] = True
    __is_abstract__: ClassVar[bool] = True
    _options: ClassVar[ModelOptions] = ModelOptions()
    _pending: ClassVar[dict[str, Any] | None] = None

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
        if type(data) is dict:
            own = data.copy()
        elif isinstance(data, Model):
            return data
        elif isinstance(data, Mapping):
            own = dict(data)
        else:
            raise TypeError(f"{cls.__name__} is built from an object, not from {data!r:.100}")
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


def merge_options(cls: type[Model], keywords: dict[str, Any]) -> ModelOptions:
    """Join class keywords, the inner class ``Options`` and what is inherited, in this order."""
    inner = vars(cls).get("Options")
    if isinstance(inner, type):
        given = {name: value for name, value in vars(inner).items() if not name.startswith("_")}
        keywords = {**given, **keywords}
        delattr(cls, "Options")
    unknown = sorted(keywords.keys() - KEYWORDS)
    if unknown:
        raise TypeError(
            f"{cls.__qualname__}: unknown class keyword(s) {', '.join(unknown)}; "
            f"known are {', '.join(sorted(KEYWORDS | {'abstract', 'lazy_creation'}))}"
        )
    inherited = next(vars(base)["_options"] for base in cls.__mro__[1:] if "_options" in vars(base))
    given = {name: value for name, value in keywords.items() if value is not None}
    given.setdefault("namespace", qualified_name(cls))
    given["coercions"] = {**inherited.coercions, **given.get("coercions", {})}
    if given.get("validation"):
        given["coerce"] = True
    merged: ModelOptions = replace(inherited, **given)
    return merged
