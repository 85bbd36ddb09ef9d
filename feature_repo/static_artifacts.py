"""Feast's hook into `feast serve`: a /health that knows Redis and on-demand views, and /metrics."""

from pathlib import Path

from transformations.stores.serving import server_of

load_artifacts = server_of(Path(__file__).parent)
