"""What the rules found of a drop is stored beside its rows, with its profile, and read back."""

from datetime import timedelta

import pytest

from transformations.contracts import read_contract
from transformations.engine.base.errors import DataError
from transformations.engine.raw.zone import RawTable
from transformations.engine.upkeep.integrity import examine_table
from transformations.engine.upkeep.vacuum import vacuum_source
from validation.quality.stored import QUALITY, read_quality

from .events import PER_DAY, day, rows

WARNING = {"metric": "nullValues", "mustBe": 0, "severity": "warning"}


@pytest.fixture
def ingested(source):
    source.rules({"metric": "rowCount", "mustBe": 2, "customProperties": PER_DAY}, kind=[WARNING])
    source.ingest(rows(("2020-01-29", "a", 1.0), ("2020-01-29", None, 3.0), ("2020-01-30", "a"), ("2020-01-30", "a")))
    return source


def raw(source):
    return RawTable(read_contract("events", source.settings.contracts), source.settings.raw_dir)


def test_rules_verdicts_suite_and_profile_are_read_back(ingested):
    table = raw(ingested)
    (drop,) = table.snapshot().drops

    stored = read_quality(drop, table.folder)

    counted, nulls = stored.document["rules"]
    assert (counted["rule"], counted["passed"], counted["allowed"]) == ("row_count_a_day", True, "2 rows")
    assert (nulls["severity"], nulls["passed"], nulls["broken"]) == ("warning", False, {"": 1})
    assert stored.document["measured"] == {
        "business day": ["2020-01-29", "2020-01-30", ""],
        "row_count_a_day": [2, 2, None],
        "kind_null_values": [None, None, 1],
    }
    assert [each["success"] for each in stored.document["results"]] == [True, False]
    assert len(stored.document["suite"]["expectations"]) == 2
    profile = {(str(each["business_day"]), each["column"]): each for each in stored.profile.to_pylist()}
    kind, amount = profile["2020-01-29", "kind"], profile["2020-01-29", "amount"]
    assert (kind["rows"], kind["nulls"], kind["distinct"], kind["median"]) == (2, 1, 1, None)
    assert (amount["q05"], amount["q95"]) == (1.0, 3.0)


def test_a_word_on_completeness_has_a_verdict_of_its_own(ingested):
    ingested.rules({"metric": "rowCount", "mustBeLessThan": 3, "customProperties": PER_DAY})
    ingested.ingest(None, complete_through=day(31))
    table = raw(ingested)
    stored = read_quality(table.snapshot().drops[-1], table.folder)
    assert (stored.document["measured"]["row_count_a_day"], stored.profile) == ([2, 0, None], None)


def test_upkeep_keeps_and_examines_what_was_found(ingested):
    ingested.rules({"metric": "rowCount", "mustBeLessThan": 3, "customProperties": PER_DAY})
    ingested.ingest(None, complete_through=day(31))
    table = raw(ingested)
    assert table.leftovers() == ()
    vacuum_source(table, timedelta(0))
    newest = table.folder / table.snapshot().drops[-1].quality
    assert examine_table("raw", table.folder).faults == []

    (newest / QUALITY).write_text("{")

    assert "does not hold the bytes that were written" in examine_table("raw", table.folder).faults[0]
    with pytest.raises(DataError, match="what was checked of drop 2 cannot be read"):
        read_quality(table.snapshot().drops[-1], table.folder)


def test_a_drop_of_a_contract_without_rules_has_none(source):
    source.rules()
    source.ingest(rows(("2020-01-30", "a")))
    table = raw(source)
    (drop,) = table.snapshot().drops
    assert (drop.quality, read_quality(drop, table.folder)) == (None, None)
