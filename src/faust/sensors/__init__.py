"""Sensors; this is a face, see ``base.py`` and ``monitor.py``."""

from __future__ import annotations

from faust.sensors.base import Sensor as Sensor
from faust.sensors.base import SensorDelegate as SensorDelegate
from faust.sensors.metrics import performance_metrics as performance_metrics
from faust.sensors.monitor import Monitor as Monitor
from faust.sensors.monitor import TableState as TableState

__all__ = ["Monitor", "Sensor", "SensorDelegate", "TableState", "performance_metrics"]
