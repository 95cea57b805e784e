"""What lets tests travel through other libraries; a face, see ``aiohttp.py``."""

from __future__ import annotations

from faust.livecheck.patches.aiohttp import patch_all as patch_all

__all__ = ["patch_all"]
