"""The textbook case: how often had a user bought strictly before a day?"""

from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transformations import LIFETIME, Count, WindowedFeatures, column
from transformations.contracts import Contract, read_contract
from transformations.engine.base.errors import DefinitionError
from transformations.engine.base.settings import Settings
from transformations.engine.compute.build import build
from transformations.engine.raw.files import source_schema
from transformations.engine.raw.zone import Origin, RawTable
from transformations.engine.tables.offline_tables import OfflineTable
from transformations.engine.testing.literal_tables import as_of, parse_events
from transformations.engine.vocabulary.resolution import Resolved, resolve

EVENTS_CONTRACT = """
apiVersion: v3.1.0
kind: DataContract
id: user_events
name: User events
version: 1.0.0
status: active
team: {name: web}
schema:
  - name: user_events
    logicalType: object
    description: Something a user did
    customProperties:
      - {property: eventTime, value: timestamp}
      - {property: timestampZone, value: UTC}
      - {property: businessDayZone, value: UTC}
      - {property: delivery, value: append}
    properties:
      - {name: user_id, logicalType: integer, required: true, description: The user}
      - name: event_type
        logicalType: string
        required: true
        description: What happened
        quality:
          - {type: library, metric: invalidValues, arguments: {validValues: [click, purchase, view, scroll]}, mustBe: 0}
      - {name: timestamp, logicalType: timestamp, required: true, description: When}
"""

PURCHASES = WindowedFeatures(
    name="user_purchases",
    join_key="user_id",
    source="user_events",
    windows=[LIFETIME],
    description="What a user has bought",
    features=[
        Count(name="purchase", where=column("event_type") == "purchase", description="Purchases", unit="purchases")
    ],
)

EVENTS = """
    user_id  event_type  timestamp
    1        view        2020-01-01 09:00
    1        purchase    2020-01-01 10:00
    1        purchase    2020-01-01 10:00
    1        purchase    2020-01-02 23:59:59.999999
    1        purchase    2020-01-03 00:00
    1        scroll      2020-01-04 12:00
    2        click       2020-01-02 12:00"""

DAYS = ("2020-01-01", "2020-01-02", "2020-01-03", "2020-01-04", "2020-01-05")
BEFORE_EACH_DAY = {1: [None, 2, 3, 4, 4], 2: [None, None, 0, 0, 0], 3: [None] * 5}


@pytest.fixture
def contract(tmp_path: Path) -> Contract:
    (tmp_path / "user_events.yaml").write_text(EVENTS_CONTRACT)
    return read_contract("user_events", tmp_path)


@pytest.fixture
def purchases(contract: Contract) -> Resolved:
    return resolve(PURCHASES, {"user_events": contract}.__getitem__)


def test_purchase_count_lifetime_counts_purchases_strictly_before_the_as_of_date(contract: Contract) -> None:
    count = as_of(PURCHASES, "purchase_count_lifetime", EVENTS, contracts={"user_events": contract}.__getitem__)
    assert {user: [count(user, day) for day in DAYS] for user in BEFORE_EACH_DAY} == BEFORE_EACH_DAY


def test_the_built_table_holds_the_same_counts_and_a_row_only_where_one_changes(
    purchases: Resolved, spark_settings: Settings
) -> None:
    raw = RawTable(purchases.contract, spark_settings.raw_dir)
    events = pa.Table.from_pylist(parse_events(purchases, EVENTS), source_schema(purchases.contract))
    raw.append(
        events,
        Origin(file_name="textbook", content_hash="1", ingested_at=spark_settings.now()),
        complete_through=date(2020, 1, 4),
    )
    build(purchases, spark_settings)
    table = OfflineTable(spark_settings.offline_dir / "user_purchases").latest()
    assert table is not None
    rows = pa.concat_tables([pq.read_table(file) for file in table.files]).to_pylist()
    counts: dict[Any, int] = {
        (row["user_id"], f"{row['event_timestamp']:%Y-%m-%d %H:%M}"): row["purchase_count_lifetime"] for row in rows
    }
    assert counts == {
        (1, "2020-01-02 00:00"): 2,
        (1, "2020-01-03 00:00"): 3,
        (1, "2020-01-04 00:00"): 4,
        (2, "2020-01-03 00:00"): 0,
    }


def test_an_event_type_that_the_contract_does_not_know_is_refused(contract: Contract) -> None:
    bought = Count(name="bought", where=column("event_type") == "buy", description="Purchases", unit="purchases")
    definition = WindowedFeatures(
        name="user_purchases", join_key="user_id", source="user_events", description="Purchases", features=[bought]
    )
    with pytest.raises(DefinitionError, match=r"can never hold.*click, purchase, view, scroll"):
        resolve(definition, {"user_events": contract}.__getitem__)
