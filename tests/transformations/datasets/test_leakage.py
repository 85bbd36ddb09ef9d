"""The leakage check: it agrees with a right join on any history, and names what a wrong one let through."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureView, Field, FileSource, ValueType
from feast.types import Float64, Int64
from hypothesis import given
from hypothesis import strategies as st

from transformations.datasets.leakage import check_leakage
from transformations.datasets.manifest import Availability
from transformations.engine.base.errors import DataError
from transformations.stores.history.history import history_of
from transformations.stores.training.retrieval import Resources, Stored
from transformations.stores.training.spine import spine_of

TIMESTAMP = pa.timestamp("us", tz="UTC")
START = datetime(2024, 5, 1, tzinfo=UTC)
User, Hour = int, int
Row = tuple[User, Hour, Hour, float | None]

user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)


def stored(folder: Path, rows: list[Row], ttl: timedelta | None = None, unseen: str | None = None) -> Stored:
    """A view over these rows: user, hour of the event, hour of creation, value."""
    columns = list(zip(*rows, strict=True)) or [(), (), (), ()]
    table = {
        "user_id": pa.array(columns[0], pa.int64()),
        "event_timestamp": pa.array([START + timedelta(hours=hour) for hour in columns[1]], TIMESTAMP),
        "created_timestamp": pa.array([START + timedelta(hours=hour) for hour in columns[2]], TIMESTAMP),
        "spend": pa.array(columns[3], pa.float64()),
    }
    pq.write_table(pa.table(table), folder / "spend.parquet")
    view = FeatureView(
        name="user_spend",
        entities=[user],
        ttl=ttl or timedelta(0),
        schema=[
            Field(name="user_id", dtype=Int64),
            Field(name="spend", dtype=Float64, tags={"unseen": unseen} if unseen else {}),
        ],
        source=FileSource(
            name="spend",
            path=str(folder / "spend.parquet"),
            timestamp_field="event_timestamp",
            created_timestamp_column="created_timestamp",
        ),
    )
    return Stored(view, history_of(view, folder), ("spend",))


def checked(
    view: Stored, asked: list[tuple[User, Hour]], values: list[float | None], as_served: bool = False
) -> Availability:
    moments = pa.array([START + timedelta(hours=hour) for _, hour in asked], TIMESTAMP)
    spine = spine_of(pa.table({"user_id": pa.array([key for key, _ in asked], pa.int64()), "event_timestamp": moments}))
    dataset = spine.to_arrow().append_column("spend", pa.array(values, pa.float64()))
    columns = {"user_spend:spend": "spend"}
    (found,) = check_leakage(spine, dataset, [view], columns, as_served=as_served, resources=Resources(threads=1))
    return found


ROWS: list[Row] = [(1, 0, 0, 10.0), (1, 48, 48, 30.0), (1, 48, 72, 31.0), (2, 24, 24, None)]


def test_values_of_available_rows_pass_and_corrections_are_counted(tmp_path: Path) -> None:
    found = checked(stored(tmp_path, ROWS), [(1, 47), (1, 48), (1, 90), (2, 30), (3, 30)], [10, 31, 31, None, None])
    assert (found.rows, found.found, found.corrected_since, found.closest_seconds) == (5, 4, 1, 0.0)


@pytest.mark.parametrize(
    ("asked", "value", "as_served", "message"),
    [
        ((1, 47), 31.0, False, r"row 0 \(user_id=1, 2024-05-02 23:00:00 UTC\) has 31\.0, the row available then has 1"),
        ((1, 47), 31.0, False, r"; 31\.0 became available at 2024-05-03 00:00:00 UTC, which is in that row's future"),
        ((1, 48), 10.0, False, r"has 10\.0, the row available then has 31\.0\. No dataset"),
        ((1, 50), 31.0, True, r"has 31\.0, the row available then has 30\.0\. No dataset"),
        ((3, 50), 31.0, False, r"has 31\.0, the row available then has null\. No dataset"),
        ((2, 30), 0.0, False, r"has 0\.0, the row available then has null\. No dataset"),
    ],
)  # fmt: skip
def test_a_value_that_was_not_available_is_named(
    tmp_path: Path, asked: tuple[User, Hour], value: float, as_served: bool, message: str
) -> None:
    with pytest.raises(DataError, match=f"leakage check: user_spend: feature 'spend': .*{message}"):
        checked(stored(tmp_path, ROWS), [asked], [value], as_served)


def test_a_value_beyond_its_ttl_and_a_default_of_an_unseen_user_are_told_apart(tmp_path: Path) -> None:
    view = stored(tmp_path, ROWS, ttl=timedelta(hours=10), unseen="0")
    checked(view, [(1, 10), (1, 11), (9, 11)], [10.0, None, 0.0])
    with pytest.raises(DataError, match=r"has 10\.0, the row available then has null"):
        checked(view, [(1, 11)], [10.0])


hours = st.integers(0, 6)
histories = st.lists(
    st.tuples(st.integers(1, 2), hours, st.integers(0, 9), st.floats(0, 9) | st.none()).map(
        lambda row: (row[0], row[1], max(row[1], row[2]), row[3])
    ),
    max_size=8,
)


def expected(rows: list[Row], key: User, moment: Hour, as_served: bool) -> float | None:
    """The definition: of the key's rows that had happened (and were known), the newest, created last, last in file."""
    found = [
        (happened, created, place, value)
        for place, (owner, happened, created, value) in enumerate(rows)
        if owner == key and happened <= moment and (not as_served or created <= moment)
    ]
    return max(found, key=lambda row: row[:3])[3] if found else None


@given(histories, st.lists(st.tuples(st.integers(1, 3), st.integers(0, 9)), min_size=1, max_size=6), st.booleans())
def test_it_accepts_the_definition_s_values_and_no_others(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Row], asked: list[tuple[User, Hour]], as_served: bool
) -> None:
    view = stored(tmp_path_factory.mktemp("history"), rows)
    values = [expected(rows, key, moment, as_served) for key, moment in asked]
    checked(view, asked, values, as_served)
    with pytest.raises(DataError, match="leakage check"):
        checked(view, asked, [*values[:-1], (values[-1] or 0.0) + 1.0], as_served)
