"""Sensors; this is a face, see ``base.py``."""

from __future__ import annotations

from faust.sensors.base import Sensor as Sensor
from faust.sensors.base import SensorDelegate as SensorDelegate

__all__ = ["Sensor", "SensorDelegate"]
