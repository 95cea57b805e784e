"""Exactly-once processing, through the front door."""
