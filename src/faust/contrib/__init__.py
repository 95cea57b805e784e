"""Bridges to other frameworks; none of them is loaded before its bridge is crossed."""
