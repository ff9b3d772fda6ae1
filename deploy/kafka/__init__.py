"""Apache Kafka on this machine, for tests and for trying things: real brokers, fetched with Maven, run on loopback."""
