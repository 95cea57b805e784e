"""Settings that replace the classes of the library by other ones."""

from __future__ import annotations

from faust.settings.params import SectionType, _Symbol
from faust.settings.table import SettingsTable

__all__ = ["ExtensionSettings"]


class ExtensionSettings(SettingsTable, section=SectionType.EXTENSION):
    """Classes, or their paths; each takes the arguments of the one it replaces."""

    Agent: _Symbol = _Symbol(default="faust:Agent")
    """Class of agents."""

    Event: _Symbol = _Symbol(default="faust:Event")
    """Class of events."""

    Schema: _Symbol = _Symbol(default="faust:Schema")
    """Class of schemas."""

    Stream: _Symbol = _Symbol(default="faust:Stream")
    """Class of streams."""

    Table: _Symbol = _Symbol(default="faust:Table")
    """Class of tables."""

    TableManager: _Symbol = _Symbol(default="faust.tables:TableManager")
    """Class that manages the tables of the application."""

    Serializers: _Symbol = _Symbol(default="faust.serializers:Registry")
    """Class of the registry of serializers."""

    Worker: _Symbol = _Symbol(default="faust.worker:Worker")
    """Class of the worker that the command line starts."""

    PartitionAssignor: _Symbol = _Symbol(default="faust.assignor:PartitionAssignor")
    """Class that divides partitions among the workers."""

    LeaderAssignor: _Symbol = _Symbol(default="faust.assignor:LeaderAssignor")
    """Class that elects the leader."""

    Topic: _Symbol = _Symbol(default="faust:Topic")
    """Class of topics."""

    SetTable: _Symbol = _Symbol(default="faust:SetTable")
    """Class of tables of sets."""

    GlobalTable: _Symbol = _Symbol(default="faust:GlobalTable")
    """Class of global tables."""

    SetGlobalTable: _Symbol = _Symbol(default="faust:SetGlobalTable")
    """Class of global tables of sets."""

    Router: _Symbol = _Symbol(default="faust.app.router:Router")
    """Class that finds the worker that has a key."""

    HttpClient: _Symbol = _Symbol(default="aiohttp.client:ClientSession")
    """Class of the HTTP client of the application."""

    Monitor: _Symbol = _Symbol(default="faust.sensors:Monitor")
    """Class of the sensor that gathers statistics."""
