"""Tables: dictionaries that are partitioned like a topic, and survive in a changelog."""

from faust.tables.base import Collection as Collection
from faust.tables.manager import TableManager as TableManager
from faust.tables.table import Table as Table
