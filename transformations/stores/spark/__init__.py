"""Training retrieval on Spark: spine and histories meet in partitions by key, each of which the local engine joins."""
