"""Rows that break a rule are set aside with its name, and the counts add up; or nothing is taken."""

import pytest

from transformations.contracts import ContractError, read_contract
from transformations.engine.base.errors import DataError, UsageError
from transformations.engine.raw.zone import RawTable
from validation.delivery.ingest import ContractViolationError, Delivery, check_drop, ingest_drop
from validation.quality.stored import read_quality, read_quarantine

from .deliveries import current

HEADER = "id,amount,at\n"


@pytest.fixture
def events(sources, tmp_path):
    """Ingest rows of `events`, whose contract lets half of a drop be set aside."""
    path = sources.contracts / "events.yaml"
    path.write_text(
        path.read_text().replace(
            "customProperties: [", "customProperties: [{ property: quarantineAllowed, value: 0.5 }, ", 1
        )
    )

    def ingest(*rows: str, name: str = "drop.csv", action=ingest_drop, **options):
        (tmp_path / name).write_text(HEADER + "".join(f"{row}\n" for row in rows))
        return action(Delivery("events", tmp_path / name, **{"quarantine": True} | options), sources)

    ingest.settings = sources
    return ingest


def aside(settings) -> list[tuple[str, str, list[str]]]:
    table = RawTable(read_contract("events", settings.contracts), settings.raw_dir)
    rows = read_quarantine(table.snapshot().drops[-1], table.folder)
    return [(row["id"], row["_place"], row["_rules"]) for row in rows.to_pylist()]


GOOD = [f"{number},1,2020-01-03 10:00" for number in range(10, 16)]


def test_each_row_is_taken_or_set_aside_with_the_rules_that_it_breaks(events):
    bad = ["1,-1,2020-01-03 10:00", "x,-2,yesterday", "2,5,2020-01-03 10:00", "2,6,2020-01-03 11:00"]
    found = events(*GOOD, *bad, "1,5,2020-01-03 10:00")
    assert (found.delivered, found.drop.rows, found.drop.unchanged, found.drop.quarantined) == (11, 7, 0, 4)
    assert sorted(row[0] for row in current(events.settings, "events", "id")) == [1, *range(10, 16)]
    assert aside(events.settings) == [
        ("1", "7", ["range of amount"]),
        ("x", "8", ["exact of at", "exact of id", "range of amount"]),
        ("2", "9", ["unique key id"]),
        ("2", "10", ["unique key id"]),
    ]
    assert (
        "4 rows are set aside: 2 by range of amount, 2 by unique key id, 1 by exact of at, 1 by exact of id"
        in found.notes
    )


def test_a_drop_of_which_too_many_rows_break_rules_is_refused_whole(events):
    with pytest.raises(
        ContractViolationError, match=r"2 of 3 rows of drop drop.csv would have to be set aside \(66.67%\)"
    ):
        events(GOOD[0], "1,-1,2020-01-03 10:00", "2,-1,2020-01-03 10:00")
    assert not RawTable(read_contract("events", events.settings.contracts), events.settings.raw_dir).exists()


@pytest.mark.parametrize(("bad", "is_taken"), [(29, True), (30, False)])
def test_the_share_that_may_be_set_aside_is_met_exactly(events, bad, is_taken):
    """0.29 times 100 is 28.999999999999996."""
    path = events.settings.contracts / "events.yaml"
    path.write_text(path.read_text().replace("value: 0.5", "value: 0.29"))
    rows = [f"{number},{-1 if number < bad else 1},2020-01-03 10:00" for number in range(100)]
    if is_taken:
        assert (events(*rows).drop.rows, events(*rows).drop) == (71, None)
    else:
        with pytest.raises(ContractViolationError, match=r"30 of 100 rows .* quarantineAllowed is 29.00%"):
            events(*rows)


@pytest.mark.parametrize("rows", [["1,2020-01-03 10:00"], ["1,1,2020-01-03 10:00,more"]])
def test_what_no_single_row_is_to_blame_for_refuses_the_drop(events, rows, tmp_path):
    with pytest.raises(DataError):
        events(*GOOD, *rows)


def test_rows_set_aside_are_recorded_where_all_others_are_stored_already(events):
    events(*GOOD)
    found = events(*GOOD, "1,-1,2020-01-03 10:00", name="again.csv")
    assert (found.delivered, found.drop.rows, found.drop.unchanged, found.drop.quarantined) == (7, 0, 6, 1)
    assert aside(events.settings) == [("1", "7", ["range of amount"])]
    assert events(*GOOD, "1,-1,2020-01-03 10:00", name="again.csv").drop is None


def test_without_the_word_or_the_contract_s_leave_nothing_is_set_aside(events, sources, tmp_path):
    with pytest.raises(ContractViolationError, match="below 0"):
        events(*GOOD, "1,-1,2020-01-03 10:00", quarantine=False)
    path = sources.contracts / "events.yaml"
    path.write_text(path.read_text().replace("{ property: quarantineAllowed, value: 0.5 }, ", ""))
    with pytest.raises(UsageError, match="the contract lets no row be set aside"):
        events(*GOOD, "1,-1,2020-01-03 10:00")


def test_a_check_says_what_would_be_set_aside_and_a_retraction_sets_nothing_aside(events):
    report = events(*GOOD, "1,-1,2020-01-03 10:00", action=check_drop)
    assert (report.rows, report.aside.count, report.violations, report.refusal) == (6, 1, (), "")
    events(*GOOD)
    with pytest.raises(UsageError, match="a retraction's keys are none"):
        events("10,1,2020-01-03 10:00", retract=True)


def test_quality_rules_judge_the_rows_that_are_left(events):
    path = events.settings.contracts / "events.yaml"
    rules = "quality: [{ metric: nullValues, mustBe: 0 }]"
    path.write_text(path.read_text().replace("description: Amount", f"description: Amount, {rules}"))
    found = events(*GOOD, "1,,2020-01-03 10:00", "2,-1,2020-01-03 10:00")
    assert [rules for _, _, rules in aside(events.settings)] == [["rule amount_null_values"], ["range of amount"]]
    table = RawTable(read_contract("events", events.settings.contracts), events.settings.raw_dir)
    stored = read_quality(found.drop, table.folder)
    assert [rule["passed"] for rule in stored.document["rules"]] == [True]
    assert set(stored.profile["rows"].to_pylist()) == {6}


@pytest.mark.parametrize("delivery", ["snapshot", "replace-partition"])
def test_a_drop_that_says_what_is_gone_sets_nothing_aside(events, delivery):
    path = events.settings.contracts / "events.yaml"
    path.write_text(path.read_text().replace("value: 'append'", f"value: '{delivery}'"))
    with pytest.raises(ContractError, match=r"a row set aside would count as gone|yet its rows are events"):
        read_contract("events", events.settings.contracts)
