"""Materialization: which rows a run considers, where the newest of each key lies, and how they are packed."""
