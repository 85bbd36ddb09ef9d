"""On-demand views as Feast's users write them, one in each mode, over a view of 20 features: the benchmark's shapes."""

from typing import Any

import pandas as pd
from feast import Entity, FeatureView, Field, FileSource, RequestSource, ValueType
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float64, Int64
from online_sides import FEATURES

user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)
request = RequestSource(name="request", schema=[Field(name="amount", dtype=Float64)])


def views(path: str) -> list[Any]:
    """Everything that a repository over this table declares."""
    half = FEATURES // 2
    dtypes = [Int64] * half + [Float64] * half
    fields = [Field(name=f"stats_0_{number}", dtype=dtype) for number, dtype in enumerate(dtypes)]
    stats = FeatureView(
        name="stats_0",
        entities=[user],
        schema=[Field(name="user_id", dtype=Int64), *fields],
        source=FileSource(name="stats_0", path=path, timestamp_field="event_timestamp"),
    )

    @on_demand_feature_view(  # type: ignore[untyped-decorator]
        sources=[stats, request],
        schema=[Field(name="share", dtype=Float64), Field(name="more", dtype=Float64)],
        mode="pandas",
    )
    def in_pandas(inputs: pd.DataFrame) -> pd.DataFrame:
        frame = pd.DataFrame()
        frame["share"] = inputs["amount"] / (inputs["stats_0_10"] + 1.0)
        frame["more"] = inputs["stats_0_11"] - inputs["stats_0_0"] * 0.5
        return frame

    @on_demand_feature_view(  # type: ignore[untyped-decorator]
        sources=[stats, request], schema=[Field(name="ratio", dtype=Float64)], mode="python"
    )
    def in_python(inputs: dict[str, list[float]]) -> dict[str, list[float]]:
        pairs = zip(inputs["amount"], inputs["stats_0_12"], strict=True)
        return {"ratio": [amount / ((value or 0.0) + 1.0) for amount, value in pairs]}

    return [user, stats, in_pandas, in_python]


ASKED = {"pandas": ["in_pandas:share", "in_pandas:more"], "python": ["in_python:ratio"]}
