"""A table of another program, in a database of some kind, and the source that is pulled from it."""

import sqlite3
from datetime import UTC, datetime, timedelta

import duckdb
import pyarrow as pa
import yaml
from deltalake import DeltaTable, write_deltalake
from pyspark.sql import SparkSession

from transformations.contracts import read_contract
from transformations.engine.base.settings import Settings
from transformations.engine.raw.zone import RawTable, read_current
from validation.delivery.ingest import Delivery, ingest_drop

SERVERS = {
    "duckdb": {"server": "app", "type": "duckdb", "database": "app.duckdb"},
    "sqlite": {"server": "app", "type": "custom"},
    "delta": {"server": "app", "type": "local", "format": "delta", "path": "app"},
    "spark": {"server": "app", "type": "custom"},
}
COLUMNS = {"id": "integer", "page": "string", "at": "timestamp"}


class App:
    """A table `clicks` of another program, in a database of some kind, and the source that is pulled from it."""

    def __init__(self, folder, kind: str) -> None:
        self.folder, self.kind = folder, kind
        self.rows: dict[int, tuple[str, datetime, datetime]] = {}
        (folder / "contracts").mkdir()
        self.settings = Settings(
            data=folder / "data",
            contracts=folder / "contracts",
            clock=datetime(2020, 2, 1, tzinfo=UTC),
        )
        self.declare()

    def declare(self, delivery="upsert", keyed=True, server=(), types=(), **properties) -> None:
        own = {"watermark": "updated_at", "overlap": "PT1H"} | properties
        own |= {"sqlite": {"urlVariable": "CLICKS_URL"}, "spark": {"engine": "spark"}}.get(self.kind, {})
        facts = {"eventTime": "at", "timestampZone": "UTC", "businessDayZone": "UTC", "delivery": delivery}
        document = {
            "apiVersion": "v3.1.0",
            "kind": "DataContract",
            "id": "clicks",
            "version": "1.0.0",
            "team": {"name": "tests"},
            "servers": [SERVERS[self.kind] | dict(server) | {"customProperties": properties_of(own)}],
            "schema": [
                {
                    "name": "clicks",
                    "description": "One click",
                    "customProperties": properties_of(facts),
                    "properties": [
                        {
                            "name": name,
                            "logicalType": kind,
                            "description": "A column",
                            "required": name != "page",
                            **({"primaryKey": True} if name == "id" and keyed else {}),
                        }
                        for name, kind in (COLUMNS | dict(types)).items()
                    ],
                }
            ],
        }
        (self.folder / "contracts" / "clicks.yaml").write_text(yaml.safe_dump(document))

    def put(self, *rows: tuple[int, str, int]) -> None:
        """Rows of (id, page, hour of the update), as the other program writes them: a known id is updated."""
        start = datetime(2020, 1, 3)
        self.rows |= {id_: (page, start, start + timedelta(hours=hour)) for id_, page, hour in rows}
        lines = [(id_, *row) for id_, row in self.rows.items()]
        if self.kind == "spark":
            session = SparkSession.active()
            session.createDataFrame(lines, "id LONG, page STRING, at TIMESTAMP, updated_at TIMESTAMP").coalesce(
                1
            ).createOrReplaceTempView("clicks")
            return
        if self.kind == "delta":
            names = ("id", "page", "at", "updated_at")
            table = pa.table(dict(zip(names, map(list, zip(*lines, strict=True)), strict=True)))
            times = pa.timestamp("us", tz="UTC")
            for place in (2, 3):
                table = table.set_column(place, names[place], table[names[place]].cast(times))
            write_deltalake(self.folder / "app", table, mode="overwrite")
            return
        create = """
            CREATE TABLE clicks (id BIGINT, page VARCHAR(9), "at" TIMESTAMP, updated_at TIMESTAMP, secret VARCHAR)"""
        if self.kind == "duckdb":
            with duckdb.connect(self.folder / "app.duckdb") as connection:
                connection.execute(create.replace("TABLE", "OR REPLACE TABLE"))
                connection.executemany("INSERT INTO clicks VALUES (?, ?, ?, ?, 'x')", lines)
            return
        with sqlite3.connect(self.folder / "app.sqlite") as connection:
            connection.execute("DROP TABLE IF EXISTS clicks")
            connection.execute(create)
            texts = [(id_, page, f"{at}.000000", f"{updated}.000000") for id_, page, at, updated in lines]
            connection.executemany("INSERT INTO clicks VALUES (?, ?, ?, ?, 'x')", texts)

    def empty(self) -> None:
        """Take all rows away, and leave the table."""
        self.rows.clear()
        if self.kind == "delta":
            DeltaTable(self.folder / "app").delete()
        elif self.kind == "duckdb":
            with duckdb.connect(self.folder / "app.duckdb") as connection:
                connection.execute("DELETE FROM clicks")
        else:
            with sqlite3.connect(self.folder / "app.sqlite") as connection:
                connection.execute("DELETE FROM clicks")

    def pull(self, **options):
        return ingest_drop(Delivery("clicks", None, **options), self.settings)

    def stored(self) -> list[tuple[object, ...]]:
        contract = read_contract("clicks", self.settings.contracts)
        rows = read_current(RawTable(contract, self.settings.raw_dir).snapshot(), contract, ("id", "page"))
        return sorted(tuple(row.values()) for row in rows.to_pylist())

    def expected(self) -> list[tuple[object, ...]]:
        return sorted((id_, page) for id_, (page, *_) in self.rows.items())


def properties_of(facts: dict[str, object]) -> list[dict[str, object]]:
    return [{"property": name, "value": value} for name, value in facts.items() if value is not None]
