"""Arbitrary bytes into every decoder."""
