"""The misprint of ``faust.serializers`` that the documents of the setting ``Serializers`` show; names only."""

from __future__ import annotations

from faust.serializers.registry import Registry

__all__ = ["Registry"]
