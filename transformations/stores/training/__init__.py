"""Reading the offline store: point-in-time retrieval, and rows as they stand."""
