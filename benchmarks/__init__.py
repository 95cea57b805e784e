"""Measurements, with their results checked; `README.md` says how to run them."""
