"""What tables and tables of sets have in common above their places: windows, companions and a picture."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import timedelta
from operator import itemgetter
from typing import IO, Any, ClassVar, Generic, cast

from faust.messages import K, V
from faust.tables.drawing import text_of
from faust.tables.placed import PlacedCollection
from faust.tables.windowed import WindowWrapper
from faust.windows import HoppingWindow, TumblingWindow, Window

__all__ = ["WindowableCollection"]


class WindowableCollection(PlacedCollection[K, V], Generic[K, V]):
    """A table that can be seen through a window."""

    Wrapper: ClassVar[type[WindowWrapper]] = WindowWrapper

    # -- windows

    def tumbling(
        self,
        size: float | timedelta,
        expires: float | timedelta | None = None,
        key_index: bool = False,
    ) -> WindowWrapper:
        """See the table through windows of *size* seconds, one after the other; see `using_window`."""
        return self.using_window(TumblingWindow(size, expires), key_index=key_index)

    def hopping(
        self,
        size: float | timedelta,
        step: float | timedelta,
        expires: float | timedelta | None = None,
        key_index: bool = False,
    ) -> WindowWrapper:
        """See the table through windows of *size* seconds that begin every *step* seconds; see `using_window`."""
        return self.using_window(HoppingWindow(size, step, expires), key_index=key_index)

    def using_window(self, window: Window, *, key_index: bool = False) -> WindowWrapper:
        """See the table through *window*.

        Arguments:
            window: How time is divided.
            key_index: Keep a second table of the keys that have windows, so that the wrapper can be iterated over.

        Raises:
            ValueError: It has another window, or ``ttl=``.
        """
        self.attach_window(window)
        return self.Wrapper(self, key_index=key_index)

    def add_key_index(self) -> None:
        """Keep a second table of the keys that have windows: ``{name}-key_index``, key -> 1."""
        self.key_index: Any = self._companion(
            "key_index", f"keys of the table {self.name}", key_type=self.key_type
        )

    def add_closed_marks(self) -> None:
        """Keep a second table of how far windows were closed: ``{name}-closed``."""
        self.closed_marks: Any = self._companion(
            "closed", f"until when windows of the table {self.name} are closed", key_type=None
        )

    def _companion(self, suffix: str, help: str, *, key_type: Any) -> Any:
        options = self.info()
        for name in ("default", "recover_callbacks", "on_changelog_event", "on_window_close"):
            options.pop(name, None)
        options |= {
            "name": f"{self.name}-{suffix}",
            "help": help,
            "key_type": key_type,
            "value_type": None,
            "schema": None,
            "window": None,
            "grace": None,
            "late_topic": None,
            "changelog_topic": None,
            "use_partitioner": False,
        }
        table = self.app.conf.Table(**options)
        self.app.tables.add(table)
        return table

    # -- words

    def as_ansitable(
        self,
        title: str = "{table.name}",
        *,
        key: str = "Key",
        value: str = "Value",
        sort: bool = False,
        sortkey: Callable[[Any], Any] = itemgetter(0),
        target: IO[str] = sys.stdout,
    ) -> str:
        """Draw the entries as a table of text.

        Arguments:
            title: Its title; ``{table}`` stands for this table, and words are capitalized.
            key: Title of the column of keys.
            value: Title of the column of values.
            sort: Sort the entries.
            sortkey: By what; it is given ``(key, value)``.
            target: Where it will be printed: box characters for a terminal, else ASCII.
        """
        return text_of(
            self, cast("Any", self).items(), title, (key, value), sortkey if sort else None, target
        )

    to_text = as_ansitable
