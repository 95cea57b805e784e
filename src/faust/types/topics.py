"""Types of topics; names only."""

from __future__ import annotations

from faust.channels import Channel as ChannelT
from faust.topics.topic import Topic as TopicT

__all__ = ["ChannelT", "TopicT"]
