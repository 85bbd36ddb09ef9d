"""The feature server: what stands before Feast's app in `feast serve`."""
