"""The shell that feeds partitions from Kafka through Faust, so thin that nothing is decided in it."""
