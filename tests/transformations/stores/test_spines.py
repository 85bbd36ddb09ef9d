"""What a retrieval gives back of its spine: all of it, as it came; and which spines it refuses."""

from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from feast import Entity, FeatureView
from feast.repo_config import load_repo_config
from feast.types import Float64

from transformations.engine.errors import UsageError

from .training_rows import VISITS, Rows, Store, View


@pytest.fixture
def visits(stored: View, table_of: Rows) -> FeatureView:
    return stored("user_visits", table_of(VISITS, spent=pa.float64()), spent=Float64)


def test_a_spine_comes_back_as_it_was_given(store_of: Store, user: Entity, visits: Any) -> None:
    moments = pd.to_datetime(["2024-05-02", "2024-05-09"])
    rows = pd.DataFrame(
        {
            "naive": moments,
            "berlin": moments.tz_localize("Europe/Berlin"),
            "label": pd.Categorical(["b", "a"], ordered=True),
            "mixed": [(3,), "one"],
            "user_id": pd.array([1, None], "Int64"),
            "text": pd.array(["a", None], "string"),
            "event_timestamp": moments.astype("datetime64[s]"),
            7: [1.5, float("nan")],
        },
        index=pd.Index([9, 9], name="order"),
    )
    rows.columns.name = "facts"
    before = rows.copy(deep=True)
    found = store_of(user, visits).get_historical_features(rows, ["user_visits:spent"]).to_df()
    pd.testing.assert_frame_equal(found.drop(columns="spent"), rows)
    pd.testing.assert_frame_equal(rows, before)
    assert found["spent"].tolist()[0] == 10.0
    assert found.columns.name == "facts"


def test_the_repository_lets_feast_leave_the_spines_timestamps_alone() -> None:
    repository = Path(__file__).parents[3] / "feature_repo"
    assert load_repo_config(repository, repository / "feature_store.yaml").coerce_tz_aware is False


@pytest.mark.parametrize("names", [["user_id", "user_id"], ["label", "label"], [1, "1"]])
def test_two_columns_of_one_name_are_refused(store_of: Store, user: Entity, visits: Any, names: list[Any]) -> None:
    rows = pd.DataFrame([[1, datetime(2024, 5, 9), 1, 1]], columns=["id", "event_timestamp", *names])
    store = store_of(user, visits)
    for given in (rows, pa.table([[1], [datetime(2024, 5, 9)], [1], [1]], ["id", "event_timestamp", *map(str, names)])):
        with pytest.raises(UsageError, match=f"the spine has 2 columns called '{names[1]}'. Rename or drop"):
            store.get_historical_features(given, ["user_visits:spent"])
