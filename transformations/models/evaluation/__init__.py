"""Judging a model: metrics, intervals that resample entities, gates, and the report that shows them."""
