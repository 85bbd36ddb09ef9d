"""Business metrics are one number each, over the scored rows and nothing else."""

import pyarrow as pa
import pytest

from transformations.engine.base.errors import UsageError
from transformations.models.declaration.config import BusinessMetric
from transformations.models.judging.business import business_figures

ROWS = pa.table({"user_id": [1, 2, 3], "returns": [True, False, True], "spent": [2.0, 4.0, None]})
SCORES = pa.array([0.9, 0.2, 0.6])


def metric(query: str) -> BusinessMetric:
    document = {"name": "revenue", "query": query, "owner": "ada", "unit": "USD", "direction": "up"}
    return BusinessMetric.model_validate(document | {"horizon": "28 days"})


def value_of(query: str, rows: pa.Table = ROWS, decisions: pa.Array | None = None) -> float | None:
    (found,) = business_figures("user_return", [metric(query)], rows, SCORES.slice(0, len(rows)), decisions)
    assert (found.horizon, found.unit, found.direction) == ("28 days", "USD", "up")
    return found.value


def test_a_metric_sees_the_rows_with_score_and_decision() -> None:
    acts = pa.array([True, False, True])
    assert value_of("SELECT sum(spent) FROM predictions WHERE returns") == 2.0
    assert value_of("SELECT count(*) FROM predictions WHERE decision AND returns", decisions=acts) == 2.0
    assert value_of("SELECT max(score) FROM predictions") == 0.9
    assert value_of("SELECT count(*) FROM predictions WHERE decision IS NULL") == 3.0
    assert value_of("SELECT sum(spent) FROM predictions", ROWS.slice(0, 0)) is None


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("SELECT 1; SELECT 2", "has to be one SELECT"),
        ("DROP TABLE predictions", "has to be one SELECT"),
        ("SELECT count(*) FROM raw.visits", "may read predictions only"),
        ("SELECT count(*) FROM read_csv('/etc/passwd')", "may read predictions only"),
        ("SELECT gone FROM predictions", "cannot be run: .*It sees predictions with user_id, returns, spent, score"),
        ("SELECT spent FROM predictions", "gives other than one row of one column"),
        ("SELECT 1, 2", "gives other than one row of one column"),
        ("SELECT 'much'", "gives 'much', which is no number"),
        ("SELECT 1e308 * 10 * count(*) FROM predictions", "cannot be run|gives inf, which is no number"),
    ],
)
def test_what_is_no_metric_is_refused_by_its_name(query: str, said: str) -> None:
    with pytest.raises(UsageError, match=rf"(?s)user_return\.yaml: business metric 'revenue'.*({said})"):
        value_of(query)
