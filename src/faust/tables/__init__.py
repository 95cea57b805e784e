"""Tables: dictionaries that are partitioned like a topic, and survive in a changelog."""

from __future__ import annotations

from faust.tables.base import Collection as Collection
from faust.tables.base import Collection as CollectionT
from faust.tables.manager import TableManager as TableManager
from faust.tables.manager import TableManager as TableManagerT
from faust.tables.sets import ChangeloggedSet as ChangeloggedSet
from faust.tables.sets import SetGlobalTable as SetGlobalTable
from faust.tables.sets import SetTable as SetTable
from faust.tables.table import GlobalTable as GlobalTable
from faust.tables.table import GlobalTable as GlobalTableT
from faust.tables.table import Table as Table
from faust.tables.table import Table as TableT
from faust.tables.windowed import WindowSet as WindowSet
from faust.tables.windowed import WindowWrapper as WindowWrapper

__all__ = [
    "ChangeloggedSet",
    "Collection",
    "CollectionT",
    "GlobalTable",
    "GlobalTableT",
    "SetGlobalTable",
    "SetTable",
    "Table",
    "TableManager",
    "TableManagerT",
    "TableT",
    "WindowSet",
    "WindowWrapper",
]
