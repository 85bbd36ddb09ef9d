"""The on-demand feature of the online benchmark."""

import pyarrow.compute as pc

from transformations import Float64, Int64, between, on_demand


@on_demand(unit="ratio", expect=between(0, 100))
def spent_share(stats_0_10: Float64, stats_0_0: Int64) -> Float64:
    """One stored feature against another; null where that is 0."""
    return pc.divide(stats_0_10, pc.if_else(pc.equal(stats_0_0, 0), None, pc.cast(stats_0_0, "float64")))
