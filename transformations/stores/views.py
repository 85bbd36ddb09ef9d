"""Where feature repositories import `feature_view` from, whatever room it lives in."""

from transformations.stores.base.views import feature_view

__all__ = ["feature_view"]
