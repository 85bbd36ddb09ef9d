"""What a retrieval gives back of its spine: all of it, as it came; and which spines it refuses."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from feast import Entity, FeatureView
from feast.repo_config import load_repo_config
from feast.types import Float64

from transformations.engine.base.errors import DataError, UsageError

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


FAR = 1_714_550_400_000 * 1_000_000  # the microseconds of 2024-05-01, had its milliseconds been seconds


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        (pa.array([datetime(1, 1, 1)], pa.timestamp("us")), None),
        (pa.array([datetime(2024, 5, 2)], pa.timestamp("s")), 10.0),
        (pa.array([datetime(9999, 12, 31, 23, 59, 59, 999_999)], pa.timestamp("us")), None),
        (pa.array([-(2**63) + 1], pa.timestamp("ns")), None),  # pandas' own minimum
        (pa.array([FAR], pa.timestamp("us")), "row 0 holds '56301-12-10T08:00:00.000000', which is beyond the years"),
        (pa.array([2**60], pa.timestamp("s")), "row 0 holds .* cannot become UnixTimestamp"),
        (pa.array([None], pa.timestamp("ns")), "is null at row 0"),
        (pa.array(["soon"]), "row 0 holds 'soon'"),
        (pa.array([1_714_600_000]), "holds int64 such as 1714600000"),
    ],
)
def test_a_moment_at_either_end_of_time_is_right_or_refused(
    store_of: Store, user: Entity, visits: FeatureView, moment: pa.Array, expected: Any
) -> None:
    visits.ttl = timedelta(days=2)
    store = store_of(user, visits)
    rows = pa.table({"user_id": [1], "event_timestamp": moment})
    for given in (rows, rows.to_pandas()):
        for as_served in (False, True):

            def found(spine: Any = given, as_served: bool = as_served) -> Any:
                job = store.get_historical_features(spine, ["user_visits:spent"], filter_by_created_timestamp=as_served)
                return job.to_arrow()["spent"].to_pylist()

            if isinstance(expected, str):
                with pytest.raises(DataError, match=expected):
                    found()
            else:
                assert found() == [expected]
