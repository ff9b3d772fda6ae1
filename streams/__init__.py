"""The plumbing: Kafka in, Kafka out, nothing lost between. Knows no agent by name."""
