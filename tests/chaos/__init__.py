"""Faults against the pipeline on three Kafka brokers, counted from outside: `python -m tests.chaos`."""
