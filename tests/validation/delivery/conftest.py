"""What tests of deliveries share: a check of literal rows, and three small sources to ingest into."""

from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transformations.contracts import Contract
from transformations.engine.base.duck import session
from transformations.engine.base.settings import Settings
from validation.delivery.check_specs import compile_checks
from validation.delivery.checks import Report, run_checks
from validation.files.drop_files import open_drop

CONTRACT = """
apiVersion: v3.1.0
kind: DataContract
id: {name}
version: 1.0.0
team: {{ name: tests }}
schema:
  - name: {name}
    description: One row
    customProperties: [{properties}]
    properties: [{columns}]
"""
ID = "{ name: id, logicalType: integer, description: Key, required: true, primaryKey: true }"


@pytest.fixture
def check(tmp_path):
    """Write a table as a drop and run all checks of a contract on it."""

    def run(rules: Contract, rows: pa.Table | str, sources=None, keys_only=False, **options) -> Report:
        path = tmp_path / ("drop.csv" if isinstance(rows, str) else "drop.parquet")
        if isinstance(rows, str):
            path.write_text(rows)
        else:
            pq.write_table(rows, path, **options)
        with session() as connection:
            drop = open_drop(connection, path)
            return run_checks(connection, rules, drop, specs=compile_checks(rules, keys_only), sources=sources or {})

    return run


@pytest.fixture
def sources(tmp_path, monkeypatch):
    """Three sources: events at a local time, days of events, and attributes without a time."""

    def write(name: str, columns: list[str], **properties: str) -> None:
        entries = [f"{{ property: {key}, value: '{value}' }}" for key, value in properties.items()]
        text = CONTRACT.format(name=name, columns=", ".join(columns), properties=", ".join(entries))
        (tmp_path / "contracts" / f"{name}.yaml").write_text(text)

    (tmp_path / "contracts").mkdir()
    new_york = {"businessDayZone": "America/New_York", "delivery": "append"}
    amount = "{ name: amount, logicalType: number, description: Amount, logicalTypeOptions: { minimum: 0 } }"
    at = "{ name: at, logicalType: timestamp, description: When, required: true }"
    write("events", [ID, amount, at], eventTime="at", timestampZone="America/New_York", **new_york)
    day = "{ name: day, logicalType: date, description: Day, required: true }"
    write("days", [ID, day], eventTime="day", **new_york)
    colour = "{ name: colour, logicalType: string, description: Colour }"
    write(
        "things",
        [ID, colour],
        validFrom="2019-12-31T00:00:00-05:00",
        businessDayZone="America/New_York",
        delivery="snapshot",
    )
    return Settings(
        data=tmp_path / "data", contracts=tmp_path / "contracts", clock=datetime(2020, 2, 1, 12, tzinfo=UTC)
    )
