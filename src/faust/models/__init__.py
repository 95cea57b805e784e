"""Models: classes that know how they travel."""

from .base import Model as Model
from .base import ModelOptions as ModelOptions
from .base import maybe_model as maybe_model
from .base import registry as registry
from .fields import FieldDescriptor as FieldDescriptor
from .fields import StringField as StringField
from .record import Record as Record

__all__ = [
    "FieldDescriptor",
    "Model",
    "ModelOptions",
    "Record",
    "StringField",
    "maybe_model",
    "registry",
]
