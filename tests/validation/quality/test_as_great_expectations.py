"""What DuckDB measures is what Great Expectations finds on the raw rows, rule by rule."""

import math
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.worlds.processes import start
from validation.delivery.ingest import Delivery, check_drop
from validation.quality.distributions import divergence

from .events import PER_DAY, Source, rows
from .on_rows import on_rows

NEVER_BROKEN = {"mustBeGreaterOrEqualTo": 0}
KINDS = ["a", "b", "AB1", "b1\n", "", None]
EVENTS = st.lists(
    st.tuples(st.sampled_from(["2020-01-29", "2020-01-30"]), st.sampled_from(KINDS), st.sampled_from([0.5, 1.0, None])),
    min_size=1,
    max_size=12,
)
COLUMN = {
    "nullValues": ({}, "expect_column_values_to_not_be_null", {}),
    "invalidValues": (
        {"arguments": {"validValues": ["a", "b"]}},
        "expect_column_values_to_be_in_set",
        {"value_set": ["a", "b"]},
    ),
    "duplicateValues": ({}, "expect_column_values_to_be_unique", {}),
}
PATTERN = "^[A-Z]+[0-9]|^b"


@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@given(events=EVENTS)
def test_each_metric_is_what_great_expectations_counts_on_the_rows(events):
    with tempfile.TemporaryDirectory() as folder:
        source = Source(Path(folder))
        counted = [{"metric": metric, **NEVER_BROKEN, **facts} for metric, (facts, _, _) in COLUMN.items()]
        source.rules(
            {"metric": "rowCount", **NEVER_BROKEN},
            {"name": "by day", "metric": "rowCount", **NEVER_BROKEN, "customProperties": PER_DAY},
            {"metric": "duplicateValues", **NEVER_BROKEN, "arguments": {"properties": ["kind", "amount"]}},
            kind=[
                *counted,
                {"name": "pattern", "metric": "invalidValues", **NEVER_BROKEN, "arguments": {"pattern": PATTERN}},
                {"metric": "missingValues", **NEVER_BROKEN, "arguments": {"missingValues": [None, ""]}},
                {"name": "nulls by day", "metric": "nullValues", **NEVER_BROKEN, "customProperties": PER_DAY},
                {"name": "share", "metric": "nullValues", **NEVER_BROKEN, "unit": "percent"},
                *(rule | {"name": f"{rule['metric']} a day", "customProperties": PER_DAY} for rule in counted),
            ],
        )
        table = rows(*events)
        source.write(table)
        found = check_drop(Delivery("events", source.newest), source.settings).quality
    numbers = {name: dict(measured) for name, measured in found.measurements.numbers.items()}
    frame = table.to_pandas()
    results = on_rows(
        frame,
        *((kind, {"column": "kind", **arguments}) for _, kind, arguments in COLUMN.values()),
        ("expect_column_values_to_match_regex", {"column": "kind", "regex": PATTERN}),
        ("expect_column_values_to_not_be_in_set", {"column": "kind", "value_set": [""]}),
        (
            "expect_compound_columns_to_be_unique",
            {"column_list": ["kind", "amount"], "ignore_row_if": "any_value_is_missing"},
        ),
    )
    nulls, invalid, duplicates, unlike, empty, pairs = (each["unexpected_count"] for each in results)
    assert numbers["kind_null_values"] == {None: nulls}
    assert numbers["share"] == {None: 100 * nulls / len(frame)}
    assert numbers["kind_invalid_values"] == {None: invalid}
    assert numbers["kind_duplicate_values"] == {None: duplicates}
    assert numbers["pattern"] == {None: unlike}
    assert numbers["kind_missing_values"] == {None: nulls + empty}
    assert numbers["kind_amount_duplicate_values"] == {None: pairs}
    assert numbers["row_count"] == {None: len(frame)}
    by_day = frame.groupby(frame["at"].dt.date)
    assert [count for count in numbers["by_day"].values() if count] == [len(part) for _, part in by_day]
    for metric, (_, kind, arguments) in COLUMN.items():
        measured = numbers[f"{metric}_a_day".lower()]
        alone = [on_rows(part, (kind, {"column": "kind", **arguments}))[0] for _, part in by_day]
        assert [measured.get(day, 0) for day in sorted(profile_days(found))] == [
            each["unexpected_count"] for each in alone
        ]
    assert list(numbers["nulls_by_day"].values()) == [part["kind"].isna().sum() for _, part in by_day]


def profile_days(found) -> list[int]:
    """The numbers of the business days that have rows."""
    return list(found.profile.by_day())


@pytest.mark.parametrize("seen", [{"a": 60, "b": 40}, {"a": 100}, {"a": 90, "c": 10}])
def test_the_divergence_of_values_is_that_of_great_expectations(seen):
    expected = {"a": 70, "b": 30}
    frame = pd.DataFrame({"kind": [value for value, count in seen.items() for _ in range(count)]})
    partition = {"values": list(expected), "weights": [0.7, 0.3]}
    arguments = {"column": "kind", "partition_object": partition, "threshold": 9, "tail_weight_holdout": 0.01}
    (found,) = on_rows(frame, ("expect_column_kl_divergence_to_be_less_than", arguments))
    assert divergence(expected, seen, 0.01) == pytest.approx(found["observed_value"], rel=1e-12)


def test_the_divergence_of_numbers_is_that_of_great_expectations_in_the_same_bins():
    frame = pd.DataFrame({"amount": [0.0] * 5 + [1.0] * 20 + [2.5] * 75})
    partition = {"bins": [-math.inf, 1.0, 2.0, math.inf], "weights": [0.25, 0.5, 0.25]}
    arguments = {"column": "amount", "partition_object": partition, "threshold": 9}
    (found,) = on_rows(frame, ("expect_column_kl_divergence_to_be_less_than", arguments))
    assert divergence({0: 25, 1: 50, 2: 25}, {0: 5, 1: 20, 2: 75}, 0.01) == pytest.approx(found["observed_value"])


PROJECT = Path(__file__).parents[3]
ALONE = """
import sys

def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):  # urllib3 binds one to see if there is IPv6
        raise SystemExit(f"{event} {arguments}")

sys.addaudithook(watch)
import validation.delivery.ingest
from validation.quality.great_expectations_run import validate_table
assert "great_expectations" not in sys.modules, "imported before a rule needs it"
between = {"type": "expect_column_values_to_be_between", "kwargs": {"column": "n", "min_value": 1}}
suite = {"name": "s", "expectations": [between | {"meta": {"rule": "n"}, "severity": "warning"}]}
(found,) = validate_table({"day": ["", "x"], "n": [1, 0]}, suite, index="day")
print(found["success"], found["result"]["unexpected_index_list"])
"""


def test_great_expectations_waits_for_a_rule(tmp_path):
    program = "import sys, validation.delivery.ingest; print('great_expectations' in sys.modules)"
    assert start(program, output=tmp_path / "output").wait() == (0, "False\n")


@pytest.mark.proof
def test_great_expectations_opens_no_socket_and_leaves_nothing_and_waits_for_a_rule(tmp_path):
    """By `-c`, where the main module is no file: PySpark would take that for its doctests, and end the process."""
    home = tmp_path / "home"
    home.mkdir()
    environment = {"HOME": str(home), "PYTHONPATH": str(PROJECT)}
    ended = subprocess.run(
        [sys.executable, "-c", ALONE], cwd=home, capture_output=True, text=True, env=environment, check=False
    )
    assert (ended.stdout, ended.stderr, list(home.iterdir())) == ("False [1]\n", "", [])
