"""What monitors that pass figures on have in common: names of streams, and libraries that may be missing."""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any

from faust.exceptions import ImproperlyConfigured
from faust.messages import TP, Message, RecordMetadata
from faust.sensors.monitor import Monitor, State

__all__ = ["SingleMonitor", "needed", "stream_label"]

_ODD = re.compile(r"[<>:\s]+")


def stream_label(stream: Any) -> str:
    """Return a name for *stream* that is made of words and underscores: ``topic_orders``."""
    label = str(stream.shortlabel).removeprefix("Stream:")
    return _ODD.sub("_", label).strip("_").lower()


def needed(module: str, package: str, extra: str) -> Any:
    """Import *module*.

    Raises:
        ImproperlyConfigured: It is not installed.
    """
    try:
        return import_module(module)
    except ImportError as exc:
        raise ImproperlyConfigured(
            f"{package} is not installed: pip install 'faust[{extra}]' (or {package})"
        ) from exc


class SingleMonitor(Monitor):
    """A monitor that is told of every event, table operation and send by itself, to pass it on at once."""

    abstract = True

    def on_message_in(self, tp: TP, offset: int, message: Message) -> None:
        """Count a message."""
        super().on_message_in(tp, offset, message)

    def on_table_get(self, table: Any, key: Any) -> None:
        """Count a key that is read, and pass it on."""
        super().on_table_get(table, key)
        self.on_key(table, "keys_retrieved")

    def on_table_set(self, table: Any, key: Any, value: Any) -> None:
        """Count a key that is written, and pass it on."""
        super().on_table_set(table, key, value)
        self.on_key(table, "keys_updated")

    def on_table_del(self, table: Any, key: Any) -> None:
        """Count a key that is deleted, and pass it on."""
        super().on_table_del(table, key)
        self.on_key(table, "keys_deleted")

    def on_key(self, table: Any, operation: str) -> None:
        """Pass on one operation on *table*: ``keys_retrieved``, ``keys_updated`` or ``keys_deleted``."""
        raise NotImplementedError

    def on_send_completed(self, producer: Any, state: Any, metadata: RecordMetadata) -> None:
        """Remember how long it took."""
        super().on_send_completed(producer, state, metadata)

    def runtime_of(self, state: State | None) -> float | None:
        """Return the milliseconds that an event took; None when it was acknowledged by hand."""
        return None if state is None else self.secs_to_ms(state["time_total"])
