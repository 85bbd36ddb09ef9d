"""Where feature repositories import `feature_view` and `raw_sources` from, whatever rooms they live in."""

from transformations.stores.base.raw_sources import raw_sources
from transformations.stores.base.views import feature_view

__all__ = ["feature_view", "raw_sources"]
