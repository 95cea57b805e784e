"""Small tools that know nothing of the rest of the house."""

from .ids import uuid as uuid

__all__ = ["uuid"]
