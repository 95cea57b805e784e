"""Addresses of what flows that older programs import from."""

from __future__ import annotations

from faust.channels import FutureMessage, PendingMessage
from faust.messages import TP, Message, RecordMetadata

__all__ = ["TP", "FutureMessage", "Message", "PendingMessage", "RecordMetadata"]
