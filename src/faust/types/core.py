"""Addresses of headers and type variables that older programs import from."""

from __future__ import annotations

from faust.messages import HeadersArg, K, V, merge_headers, prepare_headers

__all__ = ["HeadersArg", "K", "V", "merge_headers", "prepare_headers"]
