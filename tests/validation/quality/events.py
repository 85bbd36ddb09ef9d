"""A small source of events, with the quality rules that a test gives it, and drops of literal rows."""

from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from transformations.engine.base.settings import Settings
from validation.delivery.ingest import ContractViolationError, Delivery, Ingestion, ingest_drop

NOON = datetime(2020, 2, 1, 12, tzinfo=UTC)
PER_DAY = [{"property": "per", "value": "businessDay"}]
SCHEMA = pa.schema(
    [("id", pa.int64()), ("kind", pa.string()), ("amount", pa.float64()), ("at", pa.timestamp("us", tz="UTC"))]
)


class Source:
    """The source `events`: columns id (key), kind, amount and at, in business days of a zone."""

    def __init__(self, folder: Path, clock: datetime = NOON) -> None:
        self.folder = folder
        (folder / "contracts").mkdir(exist_ok=True)
        self.settings = Settings(data=folder / "data", contracts=folder / "contracts", clock=clock)
        self._drops = 0

    def rules(self, *of_rows, zone="UTC", sla=(), properties=(), at="timestamp", **of_rules) -> None:
        """Write the contract: rules of the rows as a whole, and of columns by name."""
        facts = {
            "eventTime": "at",
            "timestampZone": "UTC",
            "businessDayZone": zone,
            "delivery": "append",
            **dict(properties),
        }
        columns = {"id": "integer", "kind": "string", "amount": "number", "at": at}
        document = {
            "apiVersion": "v3.1.0",
            "kind": "DataContract",
            "id": "events",
            "version": "1.0.0",
            "status": "active",
            "team": {"name": "tests"},
            "slaProperties": list(sla),
            "schema": [
                {
                    "name": "events",
                    "description": "One event",
                    "customProperties": [{"property": name, "value": value} for name, value in facts.items()],
                    "quality": list(of_rows),
                    "properties": [
                        {
                            "name": name,
                            "logicalType": kind,
                            "description": "A column",
                            "required": name in ("id", "at"),
                            **({"primaryKey": True} if name == "id" else {}),
                            "quality": list(of_rules.get(name, ())),
                        }
                        for name, kind in columns.items()
                    ],
                }
            ],
        }
        path = self.folder / "contracts" / "events.yaml"
        path.write_text(yaml.safe_dump(document))

    def mark(self, column: str, pii: str | None) -> None:
        """Say of a column how far its values lead to a person."""
        path = self.folder / "contracts" / "events.yaml"
        document = yaml.safe_load(path.read_text())
        (found,) = (each for each in document["schema"][0]["properties"] if each["name"] == column)
        found["customProperties"] = [{"property": "pii", "value": pii}] if pii else []
        path.write_text(yaml.safe_dump(document))

    def ingest(self, rows: pa.Table | None, **options) -> Ingestion:
        """Ingest a drop of these rows; None is a word on completeness alone."""
        if rows is None:
            return ingest_drop(Delivery("events", None, **options), self.settings)
        self.write(rows)
        return ingest_drop(Delivery("events", self.newest, **options), self.settings)

    def write(self, rows: pa.Table) -> None:
        """Write the rows as the next file to deliver."""
        self._drops += 1
        pq.write_table(rows, self.newest)

    @property
    def newest(self) -> Path:
        """The newest file."""
        return self.folder / f"drop-{self._drops}.parquet"

    def broken(self, rows: pa.Table | None, **options) -> str:
        """The message that refuses a drop; empty where it is taken."""
        try:
            self.ingest(rows, **options)
        except ContractViolationError as error:
            return error.message
        return ""


def rows(*events: tuple, start: int = 1) -> pa.Table:
    """Events of (day or moment, kind, amount), numbered from `start`."""
    lines = [(start + number, *_event(event)) for number, event in enumerate(events)]
    ids, kinds, amounts, moments = zip(*lines, strict=True)
    return pa.table(
        [pa.array(values, field.type) for values, field in zip((ids, kinds, amounts, moments), SCHEMA, strict=True)],
        schema=SCHEMA,
    )


def of_days(start: int = 1, **days: int) -> pa.Table:
    """So many events a day: `of_days(d30=2, d31=1)` is of 30 and 31 January 2020."""
    events = [(f"2020-01-{int(day[1:]):02d}",) for day, count in days.items() for _ in range(count)]
    return rows(*events, start=start)


def day(number: int) -> date:
    return date(2020, 1, number)


def _event(event: tuple) -> tuple:
    moment, kind, amount = (*event, "click", 1.0)[:3] if len(event) == 1 else (*event, 1.0)[:3]
    text = moment if "T" in moment else f"{moment}T12:00:00"
    return kind, amount, datetime.fromisoformat(text).replace(tzinfo=UTC)
