"""Columns as other databases have them: each is taken as it is meant, or refused before a row is stored."""

import sqlite3

import duckdb
import pytest

from transformations.engine.base.errors import DataError, ServiceUnavailableError
from transformations.engine.base.settings import Settings

from .app import App

ID = "550e8400-e29b-41d4-a716-446655440000"
AT = "TIMESTAMP '2020-01-03 12:00'"


@pytest.fixture
def app(tmp_path, monkeypatch):
    monkeypatch.setattr(Settings, "project_root", tmp_path)
    monkeypatch.setenv("CLICKS_URL", f"sqlite:///{tmp_path}/app.sqlite")
    return App(tmp_path, "duckdb")


def fill(app: App, query: str) -> None:
    """Make the table, or the view, `clicks` of a query."""
    with duckdb.connect(app.folder / "app.duckdb") as connection:
        connection.execute(query if query.startswith("CREATE") else f"CREATE OR REPLACE TABLE clicks AS {query}")


def rows(*queries: str) -> str:
    return " UNION ALL ".join(queries)


def row(id_="1", page="'home'", at=AT, mark=AT) -> str:
    return f"SELECT {id_} AS id, {page} AS page, {at} AS at, {mark} AS updated_at"


@pytest.mark.parametrize(
    ("query", "stored"),
    [
        (row(id_="sum(n)", mark=f"max({AT})") + " FROM range(5) AS numbers(n)", (10, "home")),  # a sum has 128 bits
        (row(page=f"UUID '{ID}'"), (1, ID)),
        (row(page="'home'::ENUM('home', 'cart')"), (1, "home")),
        (row(id_="1::UTINYINT"), (1, "home")),
        (row(at="TIMESTAMPTZ '2020-01-03 12:00+05'", mark="TIMESTAMPTZ '2020-01-03 12:00+05'"), (1, "home")),
        (row(mark="TIMESTAMP_NS '2020-01-03 12:00:00.000000999'"), (1, "home")),
        (row(mark="DATE '2020-01-03'"), (1, "home")),
    ],
)
def test_a_column_of_a_type_that_files_hold_otherwise_is_taken_as_it_is_meant(app, query, stored):
    fill(app, query)
    app.pull()
    assert app.stored() == [stored]
    assert (app.pull().drop, app.pull().notes) == (None, ())


@pytest.mark.parametrize(
    ("query", "refused"),
    [
        (row(id_="170141183460469231731687303715884105727::HUGEINT"), "cannot be read: Conversion Error"),
        (row(id_="1.5::DOUBLE"), "column 'id' of table clicks is DOUBLE, the contract says Int64"),
        (row(at="TIME '12:00'"), "column 'at' of table clicks is TIME, the contract says UnixTimestamp"),
        (row(page="[1, 2]"), "column 'page' of table clicks is .*, the contract says String"),
        (row(mark="1.5::DECIMAL(9, 2)"), r"the watermark 'updated_at' is a DECIMAL\(9,2\). Choose a column of times"),
        (row(mark="TIMESTAMP 'infinity'"), "1 rows of table clicks have no updated_at"),
        (row(mark="'2020-01-03'"), "the watermark 'updated_at' is a VARCHAR. Choose a column of times"),
    ],
)
def test_a_column_that_means_something_else_is_refused(app, query, refused):
    fill(app, query)
    with pytest.raises(DataError, match=refused):
        app.pull()


def test_a_watermark_of_whole_numbers_may_be_a_decimal(app):
    app.declare(overlap=1)
    fill(app, row(mark="7::DECIMAL(18, 0)"))
    assert '"type": "int", "value": 7' in app.pull().drop.watermark
    fill(app, rows(row(mark="7::DECIMAL(18, 0)"), row("2", mark="6"), row("3", mark="5")))
    assert app.pull().drop.rows == 1


def test_a_watermark_that_changes_its_type_is_read_from_the_beginning(app):
    fill(app, row())
    app.pull()
    fill(app, rows(*(row(str(day), mark=f"TIMESTAMPTZ '2020-01-0{4 - day} 12:00+00'") for day in (1, 2))))
    found = app.pull()
    assert found.drop.rows == 1
    assert "was a time without a zone, is a time with a zone: all rows were read again" in found.notes[0]


def test_the_date_of_a_watermark_is_read_again_whole(app):
    fill(app, row(mark="DATE '2020-01-03'"))
    app.pull()
    fill(app, rows(row(mark="DATE '2020-01-03'"), row("2", mark="DATE '2020-01-02'")))
    assert app.pull().drop.rows == 1  # PT1H before a date is the day before


def test_a_view_is_read_until_its_name_or_a_column_changes(app):
    fill(app, "CREATE TABLE written AS " + row())
    fill(app, "CREATE VIEW clicks AS SELECT *, 'new' AS added FROM written")
    assert app.pull().drop.rows == 1
    fill(app, "CREATE OR REPLACE VIEW clicks AS SELECT * RENAME (page AS url) FROM written")
    with pytest.raises(DataError, match=r"table clicks has no column 'page'; .* No row was read"):
        app.pull()
    with duckdb.connect(app.folder / "app.duckdb") as connection:
        connection.execute("ALTER VIEW clicks RENAME TO taps")
    with pytest.raises(DataError, match=r"table clicks of .* cannot be read: .*does not exist"):
        app.pull()


def test_a_database_that_another_program_holds_is_not_the_data_s_fault(app, monkeypatch):
    fill(app, row())

    def held(*_arguments):
        raise duckdb.IOException("IO Error: Could not set lock on file: Conflicting lock is held")

    monkeypatch.setattr("validation.pulls.duckdb_rows.table_item", held)
    with pytest.raises(ServiceUnavailableError, match="is held by another program"):
        app.pull()


@pytest.mark.parametrize(
    ("column", "value", "refused"),
    [
        ("updated_at", "yesterday", "table clicks holds a value that cannot be read as its column's type"),
        ("at", "03.01.2020", "table clicks holds a value that cannot be read as its column's type"),
        ("id", "one", "column 'id' of the table holds values that are no int64, such as 'one'"),
        ("id", 1.5, "column 'id' of the table holds values that are no int64, such as 1.5"),
        ("page", b"home", "column 'page' of the table holds values that are no string, such as b'home'"),
    ],
)
def test_sqlite_holds_values_of_other_types_than_its_columns(app, column, value, refused):
    app.kind = "sqlite"
    app.declare()
    app.put((1, "home", 1))
    with sqlite3.connect(app.folder / "app.sqlite") as connection:
        connection.execute(f'UPDATE clicks SET "{column}" = ?', [value])
    with pytest.raises(DataError, match=refused):
        app.pull()


@pytest.mark.proof
@pytest.mark.usefixtures("_spark")
def test_a_table_that_spark_knows_is_pulled_by_its_watermark(app):
    app.kind = "spark"
    app.declare()
    with pytest.raises(DataError, match="table clicks cannot be read by Spark"):
        app.pull()
    app.put((1, "home", 1), (2, "cart", 5))
    assert (app.pull().drop.rows, app.stored()) == (2, app.expected())
    app.put((3, "late", 4), (4, "too late", 3), (2, "changed", 6))
    second = app.pull()
    assert (second.drop.rows, second.drop.supersedes) == (2, 1)
    assert '"type": "datetime", "value": "2020-01-03T06:00:00+00:00"' in second.drop.watermark
    assert app.stored() == [row for row in app.expected() if row[0] != 4]
    app.declare(types={"page": "integer"})
    with pytest.raises(DataError, match="column 'page' of table clicks is VARCHAR, the contract says Int64"):
        app.pull()
