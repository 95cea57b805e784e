"""Addresses of codecs that older programs import from; the ``...T`` names are the classes themselves."""

from __future__ import annotations

from faust.serializers.codecs import Codec as CodecT
from faust.serializers.codecs import CodecArg

__all__ = ["CodecArg", "CodecT"]
