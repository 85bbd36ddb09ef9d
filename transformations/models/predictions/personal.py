"""Personal data in the record: kept, hashed with a key, or dropped, as the model's declaration says."""

from __future__ import annotations

from transformations.models.records.predictions import Value

HASHED = "hmac-sha256:"
"""How a hashed value begins."""


def is_hashed(value: Value) -> bool:
    """Whether a recorded value stands for one that was hashed."""
    return isinstance(value, str) and value.startswith(HASHED)
