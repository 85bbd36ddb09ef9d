"""How far counts are from those of a reference, and how far they may be: pure functions over NumPy arrays."""
