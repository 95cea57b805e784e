"""Stream processing for Python: agents, tables and Kafka, with nothing lost.

This is the face of the library: names only, each at home in a module of its own.
"""

from __future__ import annotations

from mode import Service as Service
from mode import ServiceT as ServiceT

from faust._version import __version__ as __version__
from faust.agents.agent import Agent as Agent
from faust.app.base import App as App
from faust.app.boot import BootStrategy as BootStrategy
from faust.auth import GSSAPICredentials as GSSAPICredentials
from faust.auth import OAuthCredentials as OAuthCredentials
from faust.auth import SASLCredentials as SASLCredentials
from faust.auth import SSLCredentials as SSLCredentials
from faust.channels import Channel as Channel
from faust.channels import Channel as ChannelT
from faust.events import Event as Event
from faust.events import Event as EventT
from faust.events import current_event as current_event
from faust.exceptions import ImproperlyConfigured as ImproperlyConfigured
from faust.exceptions import ValidationError as ValidationError
from faust.messages import TP as TP
from faust.models.base import Model as Model
from faust.models.base import ModelOptions as ModelOptions
from faust.models.record import Record as Record
from faust.sensors.base import Sensor as Sensor
from faust.sensors.monitor import Monitor as Monitor
from faust.serializers.codecs import Codec as Codec
from faust.serializers.schemas import Schema as Schema
from faust.settings.settings import Settings as Settings
from faust.streams.stream import Stream as Stream
from faust.streams.stream import Stream as StreamT
from faust.tables.manager import TableManager as TableManager
from faust.tables.sets import SetGlobalTable as SetGlobalTable
from faust.tables.sets import SetTable as SetTable
from faust.tables.table import GlobalTable as GlobalTable
from faust.tables.table import Table as Table
from faust.topics.topic import Topic as Topic
from faust.topics.topic import Topic as TopicT
from faust.utils.ids import uuid as uuid
from faust.windows import HoppingWindow as HoppingWindow
from faust.windows import SlidingWindow as SlidingWindow
from faust.windows import TumblingWindow as TumblingWindow
from faust.windows import Window as Window
from faust.worker import Worker as Worker

__all__ = [
    "TP",
    "Agent",
    "App",
    "BootStrategy",
    "Channel",
    "ChannelT",
    "Codec",
    "Event",
    "EventT",
    "GSSAPICredentials",
    "GlobalTable",
    "HoppingWindow",
    "ImproperlyConfigured",
    "Model",
    "ModelOptions",
    "Monitor",
    "OAuthCredentials",
    "Record",
    "SASLCredentials",
    "SSLCredentials",
    "Schema",
    "Sensor",
    "Service",
    "ServiceT",
    "SetGlobalTable",
    "SetTable",
    "Settings",
    "SlidingWindow",
    "Stream",
    "StreamT",
    "Table",
    "TableManager",
    "Topic",
    "TopicT",
    "TumblingWindow",
    "ValidationError",
    "Window",
    "Worker",
    "__version__",
    "current_event",
    "uuid",
]
