"""A batch view that transforms its source's rows is refused: at apply, and where a registry has it already."""

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
from feast import BatchFeatureView, Entity, FeatureStore, FeatureView, Field, StreamFeatureView
from feast.aggregation import Aggregation
from feast.data_source import PushSource
from feast.types import Float64, Int64

from tests.worlds.feast_stores import our_config
from transformations.engine.base.errors import DefinitionError
from transformations.stores.base.transformed import refuse_transformed

REPOSITORY = """
from feast import BatchFeatureView, Entity, Field, FileSource, ValueType
from feast.types import Float64

user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)
source = FileSource(name="visits", path="visits.parquet", timestamp_field="event_timestamp")

def tenfold(rows):
    return rows.assign(spent=rows["spent"] * 10)

visits = BatchFeatureView(
    name="visits", entities=[user], mode="pandas", udf=tenfold, udf_string="def tenfold(rows): return rows",
    schema=[Field(name="spent", dtype=Float64)], source=source, online=True,
)
"""


def tenfold(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(spent=rows["spent"] * 10)


@pytest.fixture
def view_of(user: Entity, stored: Callable[..., FeatureView], table_of: Callable[..., Any]) -> Callable[..., Any]:
    rows = table_of("user_id  event_timestamp  created_timestamp  spent\n1  2024-05-01  2024-05-01  3")
    plain = stored("visits", rows, spent=Float64)

    def make(kind: type = BatchFeatureView, **more: Any) -> Any:
        schema = [Field(name="user_id", dtype=Int64), Field(name="spent", dtype=Float64)]
        source = plain.batch_source
        return kind(
            name="visits",
            entities=[user],
            schema=schema,
            source=source if kind is BatchFeatureView else PushSource(name="pushed", batch_source=source),
            online=True,
            **more,
        )

    return make


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ({"mode": "pandas", "udf": tenfold, "udf_string": "def tenfold(rows): return rows"}, "a transformation"),
        ({"aggregations": [Aggregation(column="spent", function="sum")]}, "aggregations"),
    ],
)
def test_it_is_refused_as_it_is_applied_and_read(
    view_of: Callable[..., Any], user: Entity, store_of: Callable[..., FeatureStore], more: dict[str, Any], what: str
) -> None:
    message = f"batch feature view visits has {what}, which Feast runs when it loads the view and leaves out in"
    view = view_of(**more)
    with pytest.raises(DefinitionError, match=message):
        store_of(user, view)
    if what == "aggregations":  # which no registry keeps
        return
    store = store_of()
    spine = pd.DataFrame({"user_id": [1], "event_timestamp": [pd.Timestamp("2024-05-02", tz="UTC")]})
    with pytest.raises(DefinitionError, match=message):
        store.get_historical_features(spine, ["visits:spent"]).to_df()
    with pytest.raises(DefinitionError, match=message):
        store.materialize(pd.Timestamp("2024-05-01").to_pydatetime(), pd.Timestamp("2024-05-03").to_pydatetime())


def test_feast_apply_refuses_it_before_it_writes_anything(tmp_path: Any) -> None:
    (tmp_path / "views.py").write_text(REPOSITORY)
    store = FeatureStore(config=our_config(tmp_path))
    with pytest.raises(DefinitionError, match="batch feature view visits has a transformation"):
        store._get_provider().validate_data_source(store.config, _source())


def _source() -> Any:
    from feast import FileSource

    return FileSource(name="visits", path="visits.parquet", timestamp_field="event_timestamp")


def test_a_batch_view_of_plain_rows_and_a_stream_views_function_are_taken(view_of: Callable[..., Any]) -> None:
    refuse_transformed(view_of())
    function = {"mode": "pandas", "udf": tenfold, "udf_string": "def tenfold(rows): return rows"}
    refuse_transformed(view_of(StreamFeatureView, timestamp_field="event_timestamp", **function))
