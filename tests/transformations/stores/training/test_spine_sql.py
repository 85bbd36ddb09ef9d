"""Spines written as SQL over the raw zone and the offline tables."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureStore, FeatureView
from feast.types import Float64

from transformations.contracts import read_contract
from transformations.engine.base import duck
from transformations.engine.base.errors import DataError, UsageError
from transformations.engine.base.settings import Settings
from transformations.engine.raw.zone import Origin, RawTable
from transformations.stores.history.session_sql import Resources
from transformations.stores.training.spine_sql import read_query, rows_of_query

TIMESTAMP = pa.timestamp("us", tz="UTC")


def ingest(settings: Settings, contracts: Path, rows: pa.Table) -> None:
    origin = Origin(
        file_name="visits.parquet", content_hash=f"hash of {rows}", ingested_at=datetime(2024, 6, 1, tzinfo=UTC)
    )
    RawTable(read_contract("visits", contracts), settings.raw_dir).append(rows, origin)


@pytest.fixture
def visited(settings: Settings, contracts: Path, table_of: Callable[..., pa.Table]) -> None:
    """Two deliveries, so versions 0 and 1."""
    header = "user_id  at  page  spent\n"
    first = "1  2024-05-02T10:00:00.5  home  1.5\n2  2024-05-03  news  -"
    for rows in (first, "1  2024-05-04  news  2.5"):
        table = table_of(header + rows, at=TIMESTAMP, page=pa.string(), spent=pa.float64())
        ingest(settings, contracts, table)


def test_a_query_of_the_raw_zone_is_a_spine(
    visited: None,
    store_of: Callable[..., FeatureStore],
    stored: Callable[..., FeatureView],
    table_of: Callable[..., pa.Table],
    user: Entity,
) -> None:
    table = table_of(
        "user_id  event_timestamp  created_timestamp  spent\n1  2024-05-03  2024-05-03  7", spent=pa.float64()
    )
    store = store_of(user, stored("user_spend", table, spent=Float64))
    query = """
        SELECT user_id, visits."at" AS event_timestamp, page FROM raw.visits WHERE spent > 1 ORDER BY 2 DESC"""
    found = store.get_historical_features(query, ["user_spend:spent"]).to_arrow()
    assert found.drop_columns("event_timestamp").to_pydict() == {
        "user_id": [1, 1],
        "page": ["news", "home"],
        "spent": [7.0, None],
    }


def test_an_offline_table_can_be_queried_by_its_view_s_name(
    settings: Settings,
    publish: Callable[..., Any],
    table_of: Callable[..., pa.Table],
    stored: Callable[..., FeatureView],
) -> None:
    rows = table_of("user_id  event_timestamp  created_timestamp  spent\n1  2024-05-03  2024-05-03  7")
    publish(stored("user_spend"), rows, definition_hash="0")
    found = rows_of_query('SELECT user_id, spent FROM offline."user_spend"', Resources())
    assert found.to_pydict() == {"user_id": [1], "spent": [7]}


@pytest.mark.parametrize(
    ("query", "error", "message"),
    [
        ("SELECT * FROM raw.visit", DataError, "names raw.visit, and there is no such source. There are: visits"),
        ("SELECT * FROM offline.nowhere", DataError, "names offline.nowhere, and nothing has been built there"),
        ('SELECT * FROM offline."../raw/visits"', DataError, "nothing has been built there"),
        ("SELECT nothing FROM raw.visits", UsageError, "the spine's query cannot be run: .*nothing"),
        ("SELEKT", UsageError, "the spine's query cannot be run: .*SELEKT"),
        ("SELECT * FROM visits", UsageError, "may read raw.<source> and offline.<view> only, and names visits"),
        ("SELECT page::INTEGER FROM raw.visits", UsageError, "the spine's query cannot be run: .*Could not convert"),
        ('SELECT * FROM raw."visits@7"', DataError, "visits: the raw table has no version 7; it has versions 0 to 1"),
        ('SELECT * FROM raw."visits@v1"', UsageError, 'a version of a table is a number, as in raw."visits@3"'),
    ],
)
def test_a_query_that_cannot_be_run_says_why(visited: None, query: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"(?s){message}"):
        rows_of_query(query, Resources())


@pytest.fixture
def outside(settings: Settings, visited: None, tmp_path: Path) -> Path:
    """A folder with files that no table refers to, and beside a table's own files one that it does not refer to."""
    folder = tmp_path / "outside"
    folder.mkdir()
    for path in (folder / "rows.parquet", settings.raw_dir / "visits" / "leftover.parquet"):
        pq.write_table(pa.table({"secret": [42]}), path)
    (folder / "rows.csv").write_text("secret\n42\n")
    (folder / "notes.txt").write_text("42")
    return folder


ATTACKS = [
    "SELECT * FROM '{outside}/rows.parquet'",
    "SELECT * FROM '{outside}/rows.csv'",
    "SELECT * FROM read_parquet('{outside}/rows.parquet')",
    "SELECT * FROM read_parquet(['{outside}/rows.parquet'])",
    "SELECT * FROM read_csv('{outside}/rows.csv')",
    "SELECT * FROM read_csv('/etc/passwd', header = false, sep = ':')",
    "SELECT * FROM sniff_csv('/etc/passwd')",
    "SELECT * FROM read_text('{outside}/notes.txt')",
    "SELECT * FROM read_blob('{outside}/notes.txt')",
    "SELECT * FROM read_json('{outside}/notes.txt')",
    "SELECT * FROM parquet_metadata('{outside}/rows.parquet')",
    "SELECT * FROM glob('{outside}/*')",
    "SELECT * FROM glob('/etc/*')",
    "SELECT * FROM read_text('{raw}/visits/_delta_log/*.json')",
    "SELECT * FROM read_parquet('{raw}/visits/leftover.parquet')",
    "SELECT * FROM read_parquet('{raw}/visits/*/../../../../outside/rows.parquet')",
    "SELECT user_id FROM raw.visits WHERE user_id IN (SELECT secret FROM '{outside}/rows.parquet')",
    "WITH stolen AS (FROM '{outside}/rows.parquet') SELECT * FROM raw.visits, stolen",
    "SELECT (SELECT max(secret) FROM read_parquet('{outside}/rows.parquet')) FROM raw.visits",
    "SELECT * FROM query('SELECT * FROM read_parquet(''{outside}/rows.parquet'')')",
    "SELECT * FROM query_table('{outside}/rows.parquet')",
    "SELECT * FROM read_parquet('https://example.com/rows.parquet')",
    "SELECT * FROM delta_scan('{raw}/visits')",
    "SELECT * FROM sqlite_scan('{outside}/some.db', 'rows')",
    "SELECT getenv('HOME')",
    "SELECT * FROM which_secret('s3://bucket/key', 's3')",
    "SELECT * FROM enable_logging('QueryLog', storage = 'file', storage_path = '{outside}/written')",
    "SELECT * FROM query('COPY (SELECT 1) TO ''{outside}/written''')",
    "COPY (SELECT 1) TO '{outside}/written'",
    "COPY raw.visits TO '{outside}/written' (FORMAT parquet)",
    "EXPORT DATABASE '{outside}/written'",
    "ATTACH '{outside}/written'",
    "CREATE TABLE written AS SELECT 1",
    "INSERT INTO raw.visits VALUES (9, now(), 'x', 1)",
    "DROP VIEW raw.visits",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET enable_external_access = true",
    "RESET lock_configuration",
    "PRAGMA database_list",
    "CALL pragma_version()",
    "EXPLAIN ANALYZE SELECT 1",
    "SELECT 1; SELECT 2",
    "SELECT 1; COPY (SELECT 1) TO '{outside}/written'",
    "",
]


def is_refused(query: str) -> bool:
    try:
        rows_of_query(query, Resources())
    except UsageError:
        return True
    return False


def test_a_query_reaches_nothing_but_the_tables_it_names_and_changes_nothing(outside: Path, settings: Settings) -> None:
    before = sorted(path for path in outside.parent.rglob("*") if path.is_file())
    succeeded = [query for query in ATTACKS if not is_refused(query.format(outside=outside, raw=settings.raw_dir))]
    assert succeeded == []
    assert sorted(path for path in outside.parent.rglob("*") if path.is_file()) == before


def test_a_query_sees_no_variable_of_ours(visited: None) -> None:
    secret = pa.table({"secret": [42]})
    with pytest.raises(UsageError, match="only, and names secret"):
        rows_of_query("SELECT * FROM secret", Resources())
    assert secret.num_rows == 1


def test_feast_s_own_retrieval_locks_the_query_too(
    outside: Path,
    store_of: Callable[..., FeatureStore],
    stored: Callable[..., FeatureView],
    table_of: Callable[..., pa.Table],
    user: Entity,
) -> None:
    table = table_of("user_id  event_timestamp  created_timestamp  spent\n1  2024-05-03  2024-05-03  7")
    store = store_of(user, stored("user_spend", table, spent=Float64))
    with pytest.raises(UsageError, match=r"may read raw\.<source> and offline\.<view> only"):
        store.get_historical_features(f"SELECT * FROM read_text('{outside}/notes.txt')", ["user_spend:spent"])


def test_a_query_larger_than_its_memory_spills_though_it_may_open_no_file(visited: None, tmp_path: Path) -> None:
    query = """
        SELECT count(*) AS n FROM (
            SELECT hash(i)::VARCHAR || repeat('x', 40) AS wide FROM range(1_500_000) AS numbers(i) ORDER BY wide
        )"""
    resources = Resources(threads=1, memory_limit="60MB", spill=tmp_path / "not" / "there")
    assert rows_of_query(query, resources).to_pydict() == {"n": [1_500_000]}


def test_memory_that_does_not_suffice_is_told_with_the_settings_that_give_more(visited: None, tmp_path: Path) -> None:
    query = "SELECT list(i) AS all_of_them FROM range(3_000_000) AS numbers(i)"
    with pytest.raises(
        UsageError, match=r"(?s)more memory than it may have \(20MB; spilling to .*FEATURES_OFFLINE_SPILL"
    ):
        rows_of_query(query, Resources(threads=1, memory_limit="20MB", spill=tmp_path / "spill"))


def test_a_query_that_takes_too_long_is_stopped(visited: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEATURES_OFFLINE_QUERY_SECONDS", "0.2")
    query = "SELECT count(*) AS n FROM range(10_000_000_000) a(i), range(10_000_000_000) b(j) WHERE hash(i, j) = 3"
    with pytest.raises(UsageError, match=r"longer than 0\.2 s and was stopped.*FEATURES_OFFLINE_QUERY_SECONDS"):
        rows_of_query(query, Resources(threads=1))


@pytest.mark.parametrize("call", ["query('SELECT random() AS x')", "query_table('duckdb_tables')", "duckdb_settings()"])
def test_what_runs_a_text_as_sql_or_reads_the_session_s_state_is_refused_by_name(visited: None, call: str) -> None:
    with pytest.raises(UsageError, match=f"calls {call.partition('(')[0]}\\(\\)"):
        read_query(f"SELECT * FROM raw.visits, {call}")


@pytest.mark.parametrize(
    ("expression", "volatile"),
    [
        ("now()", ("now()",)),
        ("current_catalog()", ("current_catalog()",)),
        ("current_setting('TimeZone')", ("current_setting()",)),
        ("current_localtimestamp()", ("current_localtimestamp()",)),
        ("today() - 1", ("today()",)),
        ("upper(page)", ()),
    ],
)
def test_what_may_give_another_value_the_next_time_is_known(
    visited: None, expression: str, volatile: tuple[str, ...]
) -> None:
    assert read_query(f"SELECT {expression} AS x FROM raw.visits").volatile == volatile


def test_every_function_that_gives_another_value_the_next_time_is_known(visited: None) -> None:
    """Of the functions without arguments; DuckDB itself calls some of them consistent."""

    def values() -> dict[str, str]:
        with duck.private_session() as connection:
            return {name: repr(connection.execute(f'SELECT "{name}"()').fetchall()) for name in callable_functions}

    with duck.private_session() as connection:
        query = """SELECT DISTINCT function_name FROM duckdb_functions() WHERE len(parameters) = 0
            AND function_type IN ('scalar', 'macro') AND function_name SIMILAR TO '[a-z_0-9]+'"""
        names = [str(name) for (name,) in connection.execute(query).fetchall()]
        callable_functions = [name for name in names if can_be_run(connection, f'SELECT "{name}"()')]
    first, second = values(), values()
    changing = {name for name in callable_functions if first[name] != second[name]}
    assert {"now", "random", "current_localtime", "pg_conf_load_time"} <= changing
    assert {name for name in changing if read_query(f'SELECT "{name}"()').volatile != (f"{name}()",)} == set()


def can_be_run(connection: Any, query: str) -> bool:
    try:
        connection.execute(query)
    except duckdb.Error:
        return False
    return True


@pytest.mark.parametrize(
    "query",
    [
        "FROM duckdb_tables",
        "FROM information_schema.tables",
        "FROM sqlite_master",
        "SHOW TABLES",
        "SELECT * FROM (SHOW TABLES)",
        "DESCRIBE raw.visits",
        "SELECT * FROM (SUMMARIZE raw.visits)",
        "SELECT * FROM memory.raw.visits",
        "WITH mine AS (FROM duckdb_views) FROM mine",
    ],
)
def test_a_query_does_not_read_the_state_of_the_session_that_runs_it(visited: None, query: str) -> None:
    with pytest.raises(UsageError, match=r"may read raw\.<source> and offline\.<view> only, and"):
        read_query(query)


def test_a_query_may_name_tables_of_its_own(visited: None) -> None:
    query = "WITH Mine AS (FROM raw.visits), twice AS (FROM mine UNION ALL FROM Mine) SELECT count(*) AS n FROM twice"
    assert rows_of_query(query, Resources()).to_pydict() == {"n": [6]}


def test_a_version_of_a_table_can_be_named_in_the_query_or_by_its_caller(visited: None) -> None:
    count = "SELECT count(*) AS n FROM raw.visits"
    assert rows_of_query(count, Resources())["n"].to_pylist() == [3]
    assert rows_of_query('SELECT count(*) AS n FROM raw."visits@0"', Resources())["n"].to_pylist() == [2]
    assert read_query(count, {("raw", "visits"): 0}).rows(Resources())["n"].to_pylist() == [2]


def test_a_query_tells_which_tables_it_reads_and_not_those_in_texts_and_comments(visited: None) -> None:
    query = read_query("SELECT 'raw.nothing' AS text FROM raw.visits -- not offline.nothing\n")
    ((zone, name, version),) = [(table.zone, table.name, table.version) for table in query.tables]
    assert (zone, name, version) == ("raw", "visits", 1)
    assert query.tables[0].columns == ("user_id", "at", "page", "spent")


@pytest.mark.parametrize(
    ("query", "volatile"),
    [
        ('SELECT "at", spent AS random FROM raw.visits WHERE "at" < TIMESTAMPTZ \'2024-05-03\'', ()),
        ("SELECT now(), random() FROM raw.visits", ("now()", "random()")),
        ('SELECT user_id FROM (SELECT * FROM raw.visits WHERE "at" < current_timestamp)', ("current_timestamp",)),
        ('SELECT age("at"::TIMESTAMP) FROM raw.visits', ("age()",)),
        ("SELECT * FROM raw.visits USING SAMPLE 10%", ("SAMPLE",)),
    ],
)
def test_what_in_a_query_would_give_other_rows_the_next_time_is_told(
    visited: None, query: str, volatile: tuple[str, ...]
) -> None:
    assert read_query(query).volatile == volatile
