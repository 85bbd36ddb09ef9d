"""What a row is: its bytes, its key, and the stored form of each value. Nothing here speaks to Redis."""
