"""A whole evaluation of constructed rows: every part of it says what the rows say."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from transformations.engine.base.errors import DataError, UsageError
from transformations.models.evaluation.evaluation import (
    Production,
    evaluate,
    rows_after,
    seen_until,
    segments_of,
    weeks_of,
)
from transformations.models.evaluation.facts import Evaluation, Subject
from transformations.models.evaluation.intervals import MODEL, Scored
from transformations.models.evaluation.metrics import measure
from transformations.models.evaluation.resampling import Clusters
from transformations.models.records.criteria import PRODUCTION, Criteria

MONDAY = datetime(2020, 3, 2, tzinfo=UTC)
HASH = "0" * 64


def table(weeks: int = 3, people: int = 80) -> pa.Table:
    """A row a person and week: the label follows `signal`, `noise` says nothing."""
    chance = np.random.default_rng(5)
    rows = weeks * people
    signal = chance.normal(size=rows)
    return pa.table(
        {
            "who": np.tile(np.arange(people), weeks),
            "at": [MONDAY + timedelta(days=7 * (row // people), hours=8) for row in range(rows)],
            "signal": signal,
            "noise": chance.normal(size=rows),
            "place": [None if row % 4 == 0 else "town" for row in range(rows)],
            "left": chance.random(rows) < 1 / (1 + np.exp(-2 * signal)),
        }
    )


def score(rows: pa.Table) -> Any:
    return 1 / (1 + np.exp(-2 * rows["signal"].to_numpy()))


def judged(rows: pa.Table) -> Scored:
    return Scored(
        labels=rows["left"].to_numpy(),
        predictions={MODEL: score(rows), "prior": np.full(rows.num_rows, 0.5)},
        clusters=Clusters.of(rows["who"].to_numpy()),
        moments=rows["at"].cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy(),
        segments=segments_of(rows, ["place"]),
    )


def evaluated(rows: pa.Table, scored: Scored | None = None, **more: Any) -> Evaluation:
    subject = Subject(
        model="churn",
        version=2,
        artifact=HASH,
        description="Who leaves",
        owner="growth",
        dataset="churn_2020",
        dataset_hash=HASH,
        criteria_hash=HASH,
        task="binary_classification" if scored is None or scored.is_classification else "regression",
        label="left",
        entity="who",
        trainer="logistic",
    )
    return evaluate(
        subject,
        Criteria(entity="who", draws=100),
        scored or judged(rows),
        rows,
        more.pop("score", score),
        ["noise", "signal"],
        look=1,
        at=datetime(2020, 4, 1, tzinfo=UTC),
        **more,
    )


@pytest.fixture(scope="module")
def rows() -> pa.Table:
    return table()


@pytest.fixture(scope="module")
def evaluation(rows: pa.Table) -> Evaluation:
    return evaluated(rows)


def test_it_counts_what_it_judges(rows: pa.Table, evaluation: Evaluation) -> None:
    assert (evaluation.rows, evaluation.entities) == (240, 80)
    assert (evaluation.first, evaluation.last) == (MONDAY + timedelta(hours=8), MONDAY + timedelta(days=14, hours=8))
    assert evaluation.label_mean == pytest.approx(rows["left"].to_numpy().mean())


def test_every_predictor_has_every_metric_with_its_interval(rows: pa.Table, evaluation: Evaluation) -> None:
    assert [each.name for each in evaluation.predictors] == [MODEL, "prior"]
    for figure in evaluation.predictors[0].figures:
        assert figure.value == measure(figure.metric, rows["left"].to_numpy(), score(rows))
        assert figure.interval is not None
        assert figure.interval.low < figure.interval.high
    found = {each.metric: each for each in evaluation.differences}
    gain = found["log_loss"]
    assert gain.value is not None
    assert gain.value > 0
    assert gain.interval is not None
    assert gain.interval.low > 0


def test_weeks_begin_on_mondays_of_the_zone_and_add_up(rows: pa.Table, evaluation: Evaluation) -> None:
    assert [(week.name, week.rows) for week in evaluation.weeks] == [
        ("2020-03-02", 80),
        ("2020-03-09", 80),
        ("2020-03-16", 80),
    ]
    late = judged(rows.slice(0, 80))
    assert set(weeks_of(late, "America/Los_Angeles").tolist()) == {"2020-03-02"}
    early = Scored(**{**vars(late), "moments": late.moments - 2 * 3_600_000_000})  # 06:00 UTC is Sunday's 22:00 there
    assert set(weeks_of(early, "America/Los_Angeles").tolist()) == {"2020-02-24"}


def test_segments_have_sizes_and_nulls_are_one(evaluation: Evaluation) -> None:
    (segments,) = evaluation.segments
    assert [(group.name, group.rows, group.entities) for group in segments.groups] == [
        ("null", 60, 20),
        ("town", 180, 60),
    ]
    assert segments.groups[0].others["prior"]["brier"] == 0.25


def test_importance_finds_what_the_score_follows(evaluation: Evaluation) -> None:
    signal, noise = evaluation.importance
    assert (signal.feature, noise.feature, noise.increase) == ("signal", "noise", 0)
    assert signal.interval is not None
    assert signal.interval.low > 0


def test_curves_go_from_end_to_end(evaluation: Evaluation) -> None:
    assert (evaluation.roc[0].x[0], evaluation.roc[0].y[-1]) == (0, 1)
    assert evaluation.precision_recall[0].x[-1] == 1
    assert evaluation.precision_recall[1].x == (1.0,)  # all scores of the prior are equal: one threshold
    assert sum(each.rows for each in evaluation.reliability) == 240
    assert sum(sum(each.rows) for each in evaluation.distributions) == 240


def test_latency_is_of_single_rows(evaluation: Evaluation) -> None:
    assert evaluation.latency is not None
    assert 0 < evaluation.latency.median <= evaluation.latency.p95 <= evaluation.latency.p99


def test_equal_input_gives_equal_facts_but_for_the_latency(rows: pa.Table, evaluation: Evaluation) -> None:
    again = evaluated(rows).model_copy(update={"latency": evaluation.latency})
    assert again == evaluation
    assert Evaluation.from_text(evaluation.text(), "here") == evaluation


def test_production_is_compared_only_after_all_that_it_has_seen(rows: pa.Table) -> None:
    scored = judged(rows)
    until = seen_until(MONDAY + timedelta(hours=8), timedelta(days=7))
    later = rows_after(scored, until)
    assert len(later) == 160
    both = Scored(**{**vars(later), "predictions": {MODEL: later.predictions[MODEL], PRODUCTION: np.full(160, 0.4)}})
    found = evaluated(rows, production=Production(version=1, seen_until=until, scored=both)).production
    assert found is not None
    assert (found.rows, found.entities, found.version) == (160, 80, 1)
    assert {each.over for each in found.differences} == {PRODUCTION}
    after_all = rows_after(scored, MONDAY + timedelta(days=99))
    nothing = evaluated(rows, production=Production(version=1, seen_until=until, scored=after_all)).production
    assert nothing is not None
    assert (nothing.rows, nothing.differences) == (0, ())


def test_a_regression_has_its_own_metrics_and_no_curves(rows: pa.Table) -> None:
    scored = judged(rows)
    numbers = Scored(**{**vars(scored), "labels": rows["signal"].to_numpy() * 3.0})
    found = evaluated(rows, numbers)
    assert [each.metric for each in found.predictors[0].figures] == ["mae", "rmse", "quantile_loss"]
    assert (found.roc, found.loss, found.positives) == ((), "mae", 0)
    assert sum(found.distributions[0].rows) == 240


def test_what_cannot_be_judged_is_refused(rows: pa.Table) -> None:
    scored = judged(rows)
    beyond = Scored(**{**vars(scored), "predictions": {MODEL: scored.predictions[MODEL] * 2}})
    with pytest.raises(DataError, match=r"the score of model is no probability in .* such as 1\."):
        evaluated(rows, beyond)
    infinite = Scored(**{**vars(scored), "predictions": {MODEL: np.full(240, np.inf)}})
    with pytest.raises(DataError, match="not finite in 240 of 240 rows"):
        evaluated(rows, infinite)
    with pytest.raises(DataError, match="no row to judge"):
        evaluated(rows.slice(0, 0), judged(rows).where(np.zeros(240, dtype=bool)))
    with pytest.raises(UsageError, match="column 'noise' has 240 values, and 50 can be shown"):
        segments_of(rows, ["noise"])
