"""What tests and benchmarks share: processes, a real Kafka, and hands to hold a driver with."""
