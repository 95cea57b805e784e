"""Topics; this is a face, see ``topic.py``."""

from __future__ import annotations

from faust.topics.topic import Topic as Topic
from faust.topics.topic import TopicOptions as TopicOptions

__all__ = ["Topic", "TopicOptions"]
