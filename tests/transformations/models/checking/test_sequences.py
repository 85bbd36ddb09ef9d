"""Rows that a dataset's YAML calls impossible are counted, within a row and against the entity's row before."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from transformations.datasets.config import ChecksConfig
from transformations.engine.base.errors import UsageError
from transformations.models.checking.check import findings
from transformations.models.checking.rows import Labelled
from transformations.models.checking.sequences import impossible_rows

START = datetime(2020, 1, 6, tzinfo=UTC)
FALLS = "visits < previous.visits"


def world() -> Labelled:
    """Shuffled. User a: 5, then 4, then unknown, then 6; user b: one row, closed before it was opened."""
    days = [8, 1, 22, 15, 1]
    opened = [START] * 4 + [START + timedelta(days=9)]
    table = pa.table(
        {
            "who": ["a", "a", "a", "a", "b"],
            "at": [START + timedelta(days=day) for day in days],
            "visits": pa.array([4, 5, 6, None, 3], pa.int64()),
            "opened_at": opened,
            "closed_at": [None, None, None, START + timedelta(days=40), START + timedelta(days=2)],
            "away": [True, False, False, True, False],
        }
    )
    return Labelled(
        table=table, keys=("who",), timestamp="at", label="away", features=("visits",), horizon=timedelta(days=7)
    )


@pytest.mark.parametrize(
    ("rules", "rows"),
    [
        ([FALLS], 1),  # 5 → 4; the row after the unknown one has nothing to fall from
        (["closed_at < opened_at"], 1),
        (["closed_at < opened_at", FALLS], 2),
        (["visits < 0"], 0),
        (["previous.closed_at < at"], 0),
        ([], 0),
    ],
)
def test_a_row_is_impossible_where_a_rule_is_true(rules: list[str], rows: int) -> None:
    assert impossible_rows(world(), rules).share == rows / 5


def test_ties_of_a_moment_have_no_order() -> None:
    rows = Labelled(**{**vars(world()), "table": world().table.set_column(1, "at", pa.array([START] * 5))})
    assert impossible_rows(rows, [FALLS]).share == 0


def test_passing_the_limit_stops_a_training_and_names_the_rule() -> None:
    (found,) = [
        each
        for each in findings(world(), world(), ChecksConfig(impossible=(FALLS,)))
        if each.check == "impossible sequences"
    ]
    assert found.breaches
    assert found.text == "20.00% of the rows are impossible (visits < previous.visits in 1 rows), allowed 0.00%"
    assert not any(
        each.breaches and each.check == "impossible sequences"
        for each in findings(world(), world(), ChecksConfig(impossible=(FALLS,), sequences=0.2))
    )


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("visit < 3", "'visit < 3': no column 'visit'; did you mean 'visits'"),
        ("visits < previous.visit", "no column 'visit'; did you mean 'visits'"),
        ("visits ?", "rule 'visits \\?' cannot be read"),
        ("visits < who", "'visits < who' cannot be asked of this dataset"),
    ],
)
def test_a_rule_that_cannot_be_asked_is_refused(rule: str, said: str) -> None:
    with pytest.raises(UsageError, match=f"checks.impossible: .*{said}"):
        impossible_rows(world(), [rule])
