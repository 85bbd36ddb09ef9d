"""Rules of type sql: one SELECT over the drop that gives one number, and nothing else."""

import pytest

from transformations.engine.base.errors import DataError, UsageError

from .events import of_days, rows


def query(text, **facts):
    return {"type": "sql", "query": text, "mustBe": 0, **facts}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("DELETE FROM {object}", "has to be one SELECT"),
        ("SELECT 0; SELECT 0", "has to be one SELECT"),
        ("SELECT count(*) FROM other", "may read events (as {object}) only, and names other."),
        ("SELECT count(*) FROM information_schema.tables", "only, and names information_schema.tables."),
        ("SELECT count(*) FROM read_csv('/etc/passwd')", "and calls read_csv()."),
        ("SELECT count(*) FROM '/etc/passwd'", "and names /etc/passwd."),
        ("SELECT random() FROM {object} LIMIT 1", "random() would give another result the next time."),
        ('SELECT count(*) FROM {object} WHERE "at" > now()', "now() would give another result the next time."),
        ("SELECT count(*) FROM {object} USING SAMPLE 10%", "SAMPLE would give another result"),
        ("SELECT id FROM {object}", "gives several rows. Let it give one row of one number"),
        ("SELECT id FROM {object} WHERE id < 0", "gives no row."),
        ("SELECT 1, 2", "gives 2 columns."),
        ("SELECT max(kind) FROM {object}", "gives 'click', which is no number."),
        ("SELECT count(kindd) FROM {object}", "cannot be run: Binder Error"),
    ],
)
def test_a_query_that_reaches_further_or_gives_no_number_is_refused(source, text, expected):
    source.rules(query(text, name="q"))
    with pytest.raises(UsageError) as error:
        source.ingest(of_days(d30=2))
    assert error.value.message.startswith("events.yaml: the query of rule 'q' (schema[0].quality[0])")
    assert expected in error.value.message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT sum(amount) FROM {object} WHERE id < 0", "gives null for this drop. Fix the source, or say in"),
        ("SELECT sqrt(sum(amount) - sum(amount)) / 0.0 FROM {object}", "for this drop"),
        ("SELECT max(kind::INT) FROM {object}", "cannot be computed of this drop's values: Conversion Error"),
    ],
)
def test_a_query_that_the_values_leave_without_a_number_is_the_data_s_fault(source, text, expected):
    source.rules(query(text, name="q"))
    with pytest.raises(DataError) as error:
        source.ingest(of_days(d30=2))
    assert error.value.message.startswith("events.yaml: the query of rule 'q' (schema[0].quality[0])")
    assert expected in error.value.message


def test_a_value_of_a_column_about_a_person_is_not_quoted(source):
    source.rules(query("SELECT max(kind::INT) FROM {object}", name="q"))
    source.mark("kind", "personal")
    with pytest.raises(DataError) as error:
        source.ingest(rows(("2020-01-30", "secret", 1.0)))
    assert "cannot be computed of this drop's values. Nothing was taken" in error.value.message
    assert "secret" not in error.value.message


def test_a_query_that_never_ends_is_stopped(source):
    source.settings = source.settings.model_copy(update={"quality_seconds": 0.2})
    source.rules(query("SELECT count(*) FROM range(10000000) AS a(x), range(10000000) AS b(y) WHERE x = y + 0.5"))
    with pytest.raises(UsageError, match=r"longer than 0\.2 s and was stopped.*FEATURES_QUALITY_SECONDS"):
        source.ingest(of_days(d30=1))


@pytest.mark.parametrize(
    "text",
    [
        "WITH sums AS (SELECT kind, sum(amount) AS n FROM {object} GROUP BY ALL) SELECT count(*) FROM sums WHERE n > 3",
        "SELECT count(*) FROM {object} AS a JOIN {object} AS b USING (kind) WHERE a.id < b.id AND b.amount > 3",
        "SELECT count(*) -- of {object}\nFROM ${object} WHERE Amount > 3",
        "SELECT count(*) FROM (SELECT * FROM {object}) WHERE amount > 3",
        "SELECT count(COLUMNS('amount')) FROM {object} WHERE amount > 3",
    ],
)
def test_a_query_may_name_the_drop_twice_and_any_of_its_columns(source, text):
    source.rules(query(text))
    assert source.broken(rows(("2020-01-30", "a", 3.5), ("2020-01-30", "a", 3.5))) != ""
    assert source.broken(rows(("2020-01-30", "a", 1.5), ("2020-01-30", "a", 1.5), start=5)) == ""
