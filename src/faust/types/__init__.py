"""Addresses that older programs import from; names only. The ``...T`` names are the classes themselves."""

from __future__ import annotations

from faust.agents.agent import Agent as AgentT
from faust.app.base import App as AppT
from faust.channels import Channel as ChannelT
from faust.channels import FutureMessage as FutureMessage
from faust.channels import PendingMessage as PendingMessage
from faust.events import Event as EventT
from faust.messages import TP as TP
from faust.messages import K as K
from faust.messages import Message as Message
from faust.messages import RecordMetadata as RecordMetadata
from faust.messages import V as V
from faust.streams.stream import Stream as StreamT
from faust.tables.table import Table as TableT
from faust.topics.topic import Topic as TopicT
from faust.transport.base import Transport as TransportT

__all__ = [
    "TP",
    "AgentT",
    "AppT",
    "ChannelT",
    "EventT",
    "FutureMessage",
    "K",
    "Message",
    "PendingMessage",
    "RecordMetadata",
    "StreamT",
    "TableT",
    "TopicT",
    "TransportT",
    "V",
]
