"""What cross-origin resource sharing allows (the Fetch standard, section 3.3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["ResourceOptions"]


class ResourceOptions(NamedTuple):
    """What pages of one origin may do with a view; a list may be ``"*"``, for everything.

    Attributes:
        allow_credentials: Cookies and the like may be sent.
        expose_headers: Headers of the answer that a script may read.
        allow_headers: Headers that a script may send.
        max_age: Seconds that the browser may remember this; None: as it likes.
        allow_methods: Methods that may be used; empty: those of the view.
    """

    allow_credentials: bool = False
    expose_headers: Sequence[str] | str | None = ()
    allow_headers: Sequence[str] | str | None = ()
    max_age: int | None = None
    allow_methods: Sequence[str] | str | None = ()
