"""Types of channels; names only."""

from __future__ import annotations

from faust.channels import Channel as ChannelT

__all__ = ["ChannelT"]
