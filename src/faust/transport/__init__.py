"""The way to the broker: contract, consumer, producer, drivers."""
