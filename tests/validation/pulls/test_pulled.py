"""A table elsewhere, pulled: what is new, once, however often a pull is repeated or killed."""

import sqlite3
from datetime import UTC, date, datetime, timedelta

import duckdb
import pyarrow as pa
import pytest
import yaml
from deltalake import write_deltalake

from transformations.contracts import ContractError, read_contract
from transformations.engine.base import storage
from transformations.engine.base.errors import DataError, ServiceUnavailableError, UsageError
from transformations.engine.base.settings import Settings
from transformations.engine.raw.zone import RawTable, read_current
from validation.delivery.ingest import Delivery, ingest_drop

SECRET = "s3cret-word"
SERVERS = {
    "duckdb": {"server": "app", "type": "duckdb", "database": "app.duckdb"},
    "sqlite": {"server": "app", "type": "custom"},
    "delta": {"server": "app", "type": "local", "format": "delta", "path": "app"},
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

    def declare(self, delivery="upsert", keyed=True, server=(), **properties) -> None:
        own = {"watermark": "updated_at", "overlap": "PT1H"} | properties
        own |= {"urlVariable": "CLICKS_URL"} if self.kind == "sqlite" else {}
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
                        for name, kind in COLUMNS.items()
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


@pytest.fixture(params=sorted(SERVERS))
def app(request, tmp_path, monkeypatch):
    monkeypatch.setattr(Settings, "project_root", tmp_path)
    monkeypatch.setenv("CLICKS_URL", f"sqlite:///{tmp_path}/app.sqlite")
    return App(tmp_path, request.param)


def test_each_pull_takes_what_is_new_and_late_rows_within_the_overlap_once(app):
    app.put((1, "home", 1), (2, "cart", 5))
    first = app.pull()
    assert (first.delivered, first.drop.rows, app.stored()) == (2, 2, app.expected())
    assert app.pull().drop is None
    app.put((3, "late", 4), (4, "too late", 3), (2, "changed", 6), (5, "new", 7))
    second = app.pull()
    assert (second.drop.rows, second.drop.supersedes) == (3, 1)
    assert app.stored() == [row for row in app.expected() if row[0] != 4]  # committed later than the overlap allows
    app.put((1, "changed", 9))
    assert (app.pull().drop.rows, app.stored()[0]) == (1, (1, "changed"))


def test_a_pull_killed_before_its_commit_is_repeated_as_if_it_had_not_been(app, monkeypatch):
    app.put((1, "home", 1))
    app.pull()
    app.put((2, "cart", 2), (3, "exit", 3))

    def killed(*_arguments, **_options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(storage, "publish", killed)
        with pytest.raises(KeyboardInterrupt):
            app.pull()
    assert app.stored() == [(1, "home")]
    again = app.pull()
    assert (again.drop.rows, app.stored(), again.drop.number) == (2, app.expected(), 2)
    assert app.pull().drop is None


def test_the_watermark_is_in_the_commit_of_the_rows(app):
    app.put((1, "home", 1), (2, "cart", 5))
    drop = app.pull().drop
    contract = read_contract("clicks", app.settings.contracts)
    (recorded,) = RawTable(contract, app.settings.raw_dir).snapshot().drops
    assert recorded.watermark == drop.watermark
    assert '"column": "updated_at", "type": "datetime", "value": "2020-01-03T05:00:00' in drop.watermark


def test_a_table_that_does_not_fit_is_refused_before_a_row_is_stored(app):
    with pytest.raises((DataError, ServiceUnavailableError)):
        app.pull()  # there is no table yet
    app.put((1, "home", 1))
    app.declare(watermark="changed_at")
    with pytest.raises(DataError, match=r"table .* has no column 'changed_at'; .* No row was read"):
        app.pull()
    app.declare(watermark="page", overlap=None)
    with pytest.raises(DataError, match=r"the watermark 'page' is a str. Choose a column of times"):
        app.pull()


def test_a_day_may_be_declared_complete_with_a_pull(app):
    app.put((1, "home", 1))
    assert app.pull(complete_through=date(2020, 1, 5)).complete_through == date(2020, 1, 5)
    assert app.pull(complete_through=date(2020, 1, 6)).complete_through == date(2020, 1, 6)


@pytest.mark.parametrize("app", ["duckdb"], indirect=True)
@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"keyed": False, "delivery": "append"}, "nothing identifies a row, so one read twice would be stored twice"),
        ({"delivery": "replace-partition"}, "only new rows are pulled"),
        ({"watermark": None}, "overlap stands without watermark"),
        ({"overlap": "an hour"}, "overlap is 'an hour'. Write a duration such as PT1H"),
        ({"watermrk": "x"}, "'watermrk' is not known; did you mean 'watermark'"),
        ({"server": {"databse": "x"}}, "databse would not be read; did you mean 'database'"),
    ],
)
def test_a_server_that_cannot_be_pulled_exactly_is_refused(app, said, message):
    app.declare(**said)
    with pytest.raises(ContractError, match=message):
        read_contract("clicks", app.settings.contracts)


@pytest.mark.parametrize("app", ["sqlite"], indirect=True)
def test_the_url_is_in_the_environment_and_in_no_message(app, monkeypatch):
    app.put((1, "home", 1))
    monkeypatch.delenv("CLICKS_URL")
    with pytest.raises(UsageError, match="the environment variable CLICKS_URL is not set"):
        app.pull()
    for url in (f"sqlite:////nowhere/{SECRET}.db", f"nosuchdb://user:{SECRET}@host/x", f"{SECRET} is no url"):
        monkeypatch.setenv("CLICKS_URL", url)
        with pytest.raises((UsageError, ServiceUnavailableError)) as error:
            app.pull()
        assert SECRET not in error.value.message
        assert error.value.__suppress_context__
    app.declare(urlVariable=f"sqlite://{SECRET}")


@pytest.mark.parametrize("app", ["duckdb"], indirect=True)
def test_rows_without_a_watermark_are_refused_for_no_pull_would_find_them(app):
    app.put((1, "home", 1), (2, "cart", 2))
    with duckdb.connect(app.folder / "app.duckdb") as connection:
        connection.execute("UPDATE clicks SET updated_at = NULL WHERE id = 2")
    with pytest.raises(DataError, match="1 rows of table clicks have no updated_at, the watermark"):
        app.pull()
