"""Types of sensors; names only."""

from __future__ import annotations

from faust.sensors.base import Sensor as SensorT
from faust.sensors.base import SensorDelegate as SensorDelegateT

__all__ = ["SensorDelegateT", "SensorT"]
