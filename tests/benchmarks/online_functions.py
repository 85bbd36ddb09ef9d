"""The on-demand feature of the online benchmark."""

from transformations import Float64, between, on_demand, quotient


@on_demand(unit="ratio", expect=between(0, 100))
def spent_share(stats_0_10: Float64, stats_0_11: Float64) -> Float64:
    """One stored feature against another; null where that is 0."""
    return quotient(stats_0_10, stats_0_11)
