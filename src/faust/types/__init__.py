"""Addresses that older programs import from; names only. The ``...T`` names are the classes themselves."""

from __future__ import annotations

from mode import ServiceT as ServiceT

from faust.agents.agent import Agent as AgentT
from faust.agents.manager import AgentManager as AgentManagerT
from faust.app.base import App as AppT
from faust.channels import Channel as ChannelT
from faust.channels import FutureMessage as FutureMessage
from faust.channels import PendingMessage as PendingMessage
from faust.events import Event as EventT
from faust.joins import Join as JoinT
from faust.messages import TP as TP
from faust.messages import HeadersArg as HeadersArg
from faust.messages import K as K
from faust.messages import Message as Message
from faust.messages import RecordMetadata as RecordMetadata
from faust.messages import V as V
from faust.models.base import Model as ModelT
from faust.models.base import ModelArg as ModelArg
from faust.models.base import ModelOptions as ModelOptions
from faust.models.fields import FieldDescriptor as FieldDescriptorT
from faust.sensors.base import Sensor as SensorT
from faust.sensors.base import SensorDelegate as SensorDelegateT
from faust.serializers.codecs import Codec as CodecT
from faust.serializers.codecs import CodecArg as CodecArg
from faust.serializers.registry import Registry as RegistryT
from faust.serializers.schemas import Schema as SchemaT
from faust.settings.common import ProcessingGuarantee as ProcessingGuarantee
from faust.stores.base import Store as StoreT
from faust.streams.stream import Stream as StreamT
from faust.tables.base import Collection as CollectionT
from faust.tables.manager import TableManager as TableManagerT
from faust.tables.table import Table as TableT
from faust.topics.topic import Topic as TopicT
from faust.transport.base import Transport as TransportT
from faust.transport.consumer import Consumer as ConsumerT
from faust.transport.producer import Producer as ProducerT
from faust.windows import Window as WindowT
from faust.windows import WindowRange as WindowRange

__all__ = [
    "TP",
    "AgentManagerT",
    "AgentT",
    "AppT",
    "ChannelT",
    "CodecArg",
    "CodecT",
    "CollectionT",
    "ConsumerT",
    "EventT",
    "FieldDescriptorT",
    "FutureMessage",
    "HeadersArg",
    "JoinT",
    "K",
    "Message",
    "ModelArg",
    "ModelOptions",
    "ModelT",
    "PendingMessage",
    "ProcessingGuarantee",
    "ProducerT",
    "RecordMetadata",
    "RegistryT",
    "SchemaT",
    "SensorDelegateT",
    "SensorT",
    "ServiceT",
    "StoreT",
    "StreamT",
    "TableManagerT",
    "TableT",
    "TopicT",
    "TransportT",
    "V",
    "WindowRange",
    "WindowT",
]
