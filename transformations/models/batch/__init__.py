"""Scoring in batch: whose rows, the features of each, and the published record of what the model said."""
