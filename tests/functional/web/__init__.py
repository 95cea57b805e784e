"""The web server, by real requests."""
