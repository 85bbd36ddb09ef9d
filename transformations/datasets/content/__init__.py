"""What the values of a table are: their hash, and their statistics."""
