"""Field descriptors: what `Order.account` is, as opposed to ``order.account``.

A descriptor answers on the class only. It has no ``__set__``, so the instance's own dictionary
comes first, and reading a field costs what reading any attribute costs.
"""

from __future__ import annotations

from typing import Any, Generic, Self, TypeVar, overload

from faust.models.coerce import strip_optional
from faust.serializers.typed import is_model, type_name

__all__ = ["FieldDescriptor"]

T = TypeVar("T")


class FieldDescriptor(Generic[T]):
    """A field of a model: a selector for `Stream.group_by`, and a description.

    Attributes:
        field: Name of the field.
        type: Its annotation, resolved.
        model: The model class it belongs to.
        required: It has no default.
        default: Its default; None when there is none.
        parent: The descriptor through which this one was reached: `Order.account` for
            ``Order.account.id``.
    """

    def __init__(
        self,
        *,
        field: str,
        type: Any,
        model: Any,
        required: bool = True,
        default: Any = None,
        parent: FieldDescriptor[Any] | None = None,
    ) -> None:
        self.field = field
        self.type = type
        self.model = model
        self.required = required
        self.default = default
        self.parent = parent

    @property
    def ident(self) -> str:
        """``Model.field``: how the field is called in the names of repartition topics."""
        return f"{self.model.__name__}.{self.field}"

    def getattr(self, obj: Any) -> T:
        """Return the value of this field from an instance (of the outermost parent's model)."""
        if self.parent is not None:
            obj = self.parent.getattr(obj)
        value: T = getattr(obj, self.field)
        return value

    @overload
    def __get__(self, obj: None, owner: Any = None) -> Self: ...
    @overload
    def __get__(self, obj: Any, owner: Any = None) -> T: ...
    def __get__(self, obj: Any, owner: Any = None) -> Any:
        if obj is None:
            return self
        raise AttributeError(f"this {type(obj).__name__} has no value for the field {self.field!r}")

    def __getattr__(self, name: str) -> FieldDescriptor[Any]:
        """Give access to the fields of a nested model."""
        if "type" in vars(self):
            nested = strip_optional(self.type)
            inner = nested._options.descriptors.get(name) if is_model(nested) else None
            if inner is not None:
                return FieldDescriptor(
                    field=inner.field,
                    type=inner.type,
                    model=inner.model,
                    required=inner.required,
                    default=inner.default,
                    parent=self,
                )
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __repr__(self) -> str:
        default = "" if self.required else f" = {self.default!r}"
        return f"<{type(self).__name__}: {self.ident}: {type_name(self.type)}{default}>"
