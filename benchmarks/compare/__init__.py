"""The same job on every side: faust-streaming, the bare client, and ours on Kafka and on the embedded broker."""
