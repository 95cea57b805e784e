"""Drivers: found by the scheme of the broker URL, imported by nobody."""
