"""Lineage: from a source's column to features, services and datasets, and back."""
