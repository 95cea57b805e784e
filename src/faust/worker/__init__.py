"""The process that runs an application."""

from faust.worker.worker import Worker

__all__ = ["Worker"]
