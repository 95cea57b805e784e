"""Drivers of the web server: one module per HTTP library; found by URL (setting ``web``)."""
