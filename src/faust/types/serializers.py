"""Types of serialization; names only."""

from __future__ import annotations

from faust.serializers.registry import Registry as RegistryT
from faust.serializers.schemas import Schema as SchemaT

__all__ = ["RegistryT", "SchemaT"]
