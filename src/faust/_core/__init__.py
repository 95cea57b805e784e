"""What runs once per event, or decides about events. No settings, no logging, no I/O."""
