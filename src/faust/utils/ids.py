"""Identifiers."""

from __future__ import annotations

from uuid import uuid4

__all__ = ["uuid"]


def uuid() -> str:
    """Return a new random identifier: the 36 characters of a version 4 UUID (RFC 9562)."""
    return str(uuid4())
