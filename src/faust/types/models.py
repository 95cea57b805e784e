"""Addresses of models that older programs import from; the ``...T`` names are the classes themselves."""

from __future__ import annotations

from faust.models.base import CoercionHandler, CoercionMapping, ModelArg, ModelOptions
from faust.models.base import Model as ModelT
from faust.models.fields import FieldDescriptor as FieldDescriptorT
from faust.models.fields import FieldMap

__all__ = [
    "CoercionHandler",
    "CoercionMapping",
    "FieldDescriptorT",
    "FieldMap",
    "ModelArg",
    "ModelOptions",
    "ModelT",
]
