"""Types of tables; names only."""

from __future__ import annotations

from faust.tables.base import Collection as CollectionT
from faust.tables.base import RecoverCallback
from faust.tables.manager import TableManager as TableManagerT
from faust.tables.table import GlobalTable as GlobalTableT
from faust.tables.table import Table as TableT
from faust.tables.windowed import WindowedItemsView as WindowedItemsViewT
from faust.tables.windowed import WindowedValuesView as WindowedValuesViewT
from faust.tables.windowed import WindowSet as WindowSetT
from faust.tables.windowed import WindowWrapper as WindowWrapperT

__all__ = [
    "CollectionT",
    "GlobalTableT",
    "RecoverCallback",
    "TableManagerT",
    "TableT",
    "WindowSetT",
    "WindowWrapperT",
    "WindowedItemsViewT",
    "WindowedValuesViewT",
]
