"""How objects become bytes and come back."""

from .codecs import Codec as Codec
from .codecs import get_codec as get_codec
from .codecs import register as register
from .registry import Registry as Registry
from .schemas import Schema as Schema

__all__ = ["Codec", "Registry", "Schema", "get_codec", "register"]
