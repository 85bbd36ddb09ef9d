"""Planted faults of a dataset are found, and a dataset without any passes."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from transformations.datasets.config import ChecksConfig
from transformations.engine.base.errors import DataError
from transformations.models.checking.check import Finding, findings, refuse_breaches
from transformations.models.checking.leaks import rows_one_horizon_earlier, suspects
from transformations.models.checking.noise import label_noise
from transformations.models.checking.rows import Labelled, folds_of, matrix_of, repeated

START = datetime(2020, 1, 6, tzinfo=UTC)
PEOPLE, WEEKS = 250, 12


def world(**more: Any) -> Labelled:
    """A row a person and week. The label, whether they stay away for a week, follows from a habit and from chance."""
    chance = np.random.default_rng(1)
    who, week = np.repeat(np.arange(PEOPLE), WEEKS), np.tile(np.arange(WEEKS), PEOPLE)
    habit = np.repeat(chance.normal(size=PEOPLE), WEEKS)
    recent = habit + 0.7 * chance.normal(size=len(who))
    stays_away = chance.random(len(who)) < 1 / (1 + np.exp(1.5 + 2.5 * habit + recent))
    columns = {
        "who": who,
        "at": [START + timedelta(weeks=int(each)) for each in week],
        "recent": recent,
        "country": pa.array(np.where(habit > 0, "de", "fr"), mask=chance.random(len(who)) < 0.1),
        "away": stays_away,
        **{name: make(stays_away, who, week, chance) for name, make in more.items()},
    }
    return labelled(pa.table(columns), tuple(more))


def labelled(table: pa.Table, more: tuple[str, ...] = ()) -> Labelled:
    return Labelled(
        table=table.take(np.random.default_rng(2).permutation(table.num_rows)),
        keys=("who",),
        timestamp="at",
        label="away",
        features=("recent", "country", *more),
        horizon=timedelta(weeks=1),
    )


def flipped(rows: Labelled, share: float) -> Labelled:
    turned = np.random.default_rng(3).random(len(rows)) < share
    place = rows.table.column_names.index("away")
    return labelled(rows.table.set_column(place, "away", pa.array(rows.labels ^ turned)))


def breaches(rows: Labelled, **limits: float) -> list[str]:
    return [each.check for each in findings(rows, rows, ChecksConfig(**limits)) if each.breaches]


@pytest.fixture(scope="module")
def honest() -> Labelled:
    return world()


def test_an_honest_dataset_passes(honest: Labelled) -> None:
    found = findings(honest, honest, ChecksConfig())
    assert [each.check for each in found] == ["duplicates", "contradictions", "label noise"]
    assert not [each for each in found if each.breaches or each.warns]
    refuse_breaches("visits", found)


def test_fifteen_percent_flipped_labels_stop_a_training(honest: Labelled) -> None:
    found = findings(flipped(honest, 0.15), flipped(honest, 0.15), ChecksConfig())
    with pytest.raises(
        DataError, match=r"not fit to learn from: label noise: 1\d\.\d+% of the labels .* allowed 10\.00%"
    ):
        refuse_breaches("visits", found)


def test_the_noise_that_is_told_grows_with_the_flipped_share(honest: Labelled) -> None:
    shares = [label_noise(flipped(honest, share)).share for share in (0.0, 0.05, 0.15, 0.25)]
    assert shares == sorted(shares, key=lambda each: each or 0.0)
    assert shares[0] is not None
    assert shares[0] < 0.04
    assert shares[2] is not None
    assert 0.12 < shares[2] < 0.22  # an upper bound but for chance: what cannot be foreseen comes on top


def test_a_limit_in_the_datasets_yaml_allows_more(honest: Labelled) -> None:
    assert breaches(flipped(honest, 0.15)) == ["label noise"]
    assert breaches(flipped(honest, 0.15), label_noise=0.3) == []


def test_where_noise_cannot_be_told_the_check_says_why(honest: Labelled) -> None:
    aimless = world(lot=lambda label, _who, _week, chance: chance.random(len(label)))
    assert "hardly tell labels apart" in label_noise(Labelled(**{**vars(aimless), "features": ("lot",)})).reason
    assert "no feature is a number" in label_noise(Labelled(**{**vars(honest), "features": ("at",)})).reason
    assert "400 rows of the train split" in label_noise(honest.head(400)).reason
    number = Labelled(**{**vars(honest), "label": "recent", "features": ("country",)})
    assert label_noise(number).share is None
    assert suspects(number) == ()


def test_a_label_under_another_name_is_warned_of() -> None:
    rows = world(copy=lambda label, *_: np.where(label, "gone", "here"), half=lambda label, *_: label * 2.0)
    assert [each.feature for each in suspects(rows)] == ["copy", "half"]
    assert suspects(rows)[0].message == "copy: alone it tells the label with ROC AUC 1.000"
    (*_, warned) = findings(rows, rows, ChecksConfig())
    assert warned.warns
    assert not warned.breaches


def test_a_column_of_the_spine_is_judged_like_a_feature() -> None:
    rows = world(copy=lambda label, *_: label * 1.0)
    beside = Labelled(**{**vars(rows), "features": ("recent",), "beside": ("copy", "country")})
    assert [each.feature for each in suspects(beside)] == ["copy"]


def test_a_number_under_another_name_is_warned_of_in_a_regression() -> None:
    chance = np.random.default_rng(3)
    rows = world(spend=lambda *_: chance.exponential(9.0, PEOPLE * WEEKS))
    spend = rows.table["spend"].to_numpy()
    table = rows.table.append_column("paid", pa.array(spend * 100 + chance.normal(size=len(rows))))
    table = table.append_column("guess", pa.array(spend + 20 * chance.normal(size=len(rows))))
    number = Labelled(
        **{**vars(rows), "table": table, "label": "spend", "features": ("paid", "guess", "recent", "country")}
    )
    (found,) = suspects(number)
    assert found.message.startswith("paid: alone it tells whether the label is above its median with ROC AUC ")
    assert found.area > 0.98


def test_a_feature_that_knows_the_week_to_come_collapses_one_horizon_earlier() -> None:
    def from_the_future(label: Any, _who: Any, _week: Any, chance: Any) -> Any:
        return np.where(label, 0.0, 1.0) + 0.5 * chance.normal(size=len(label))

    (found,) = suspects(world_without_habit(from_the_future))
    assert found.feature == "visits_next_week"
    assert found.area > 0.85
    assert found.earlier == pytest.approx(0.5, abs=0.06)
    assert found.message.endswith("when it is read one horizon earlier")


def world_without_habit(make: Any) -> Labelled:
    """Labels that no row of an earlier week tells of."""
    chance = np.random.default_rng(5)
    rows = world()
    label = chance.random(len(rows)) < 0.3
    table = rows.table.set_column(rows.table.column_names.index("away"), "away", pa.array(label))
    return labelled(
        table.append_column("visits_next_week", pa.array(make(label, None, None, chance))), ("visits_next_week",)
    )


def test_a_strong_feature_that_was_known_before_is_no_suspect() -> None:
    chance = np.random.default_rng(7)
    lasting = np.repeat(chance.normal(size=PEOPLE) * 6, WEEKS)
    rows = world(lasting=lambda *_: lasting)
    table = rows.table
    tendency = table["lasting"].to_numpy()
    label = chance.random(len(rows)) < 1 / (1 + np.exp(-tendency))
    strong = labelled(table.set_column(table.column_names.index("away"), "away", pa.array(label)), ("lasting",))
    assert suspects(strong) == ()


def test_the_row_of_one_horizon_earlier_is_the_newest_that_is_old_enough() -> None:
    days = [1, 8, 14, 15, 1]
    rows = Labelled(
        table=pa.table({"who": ["a", "a", "a", "a", "b"], "at": [START + timedelta(days=day) for day in days]}),
        keys=("who",),
        timestamp="at",
        label="at",
        features=(),
        horizon=timedelta(days=7),
    )
    assert rows_one_horizon_earlier(rows).tolist() == [-1, 0, 0, 1, -1]


def test_repeated_rows_are_counted_by_their_labels() -> None:
    table = pa.table(
        {"who": [1, 1, 1, 2, 3], "at": [START] * 5, "recent": [0.5] * 5, "away": [True, True, False, True, None]}
    )
    rows = Labelled(
        table=table, keys=("who",), timestamp="at", label="away", features=("recent",), horizon=timedelta(days=1)
    )
    assert repeated(rows).duplicates == 1 / 5  # the second of the two equal rows
    assert repeated(rows).contradictions == 3 / 5  # all rows of person 1
    assert breaches(rows) == ["duplicates", "contradictions"]
    assert breaches(rows, duplicates=0.2, contradictions=0.6) == []


def test_texts_are_ranked_by_frequency_and_times_left_out() -> None:
    table = pa.table({"city": ["b", "a", "b", None], "member": [True, None, False, True], "at": [START] * 4})
    matrix = matrix_of(table, ("city", "member", "at"))
    assert np.array_equal(matrix, [[0, 1], [1, np.nan], [0, 0], [np.nan, 1]], equal_nan=True)


def test_an_entity_is_in_one_fold() -> None:
    entities = np.tile(np.arange(30), 4)
    folds = folds_of(entities, 3, seed=1)
    assert np.array_equal(folds[:30], folds[30:60])
    assert np.bincount(folds).tolist() == [40, 40, 40]


def test_rows_without_keys_are_entities_of_their_own(honest: Labelled) -> None:
    without = Labelled(**{**vars(flipped(honest, 0.15)), "keys": ()})
    assert breaches(without) == ["label noise"]


def test_every_finding_says_its_share_and_its_limit(honest: Labelled) -> None:
    found: Finding = findings(honest, honest, ChecksConfig())[0]
    assert found.text == "0.00% of the rows stand there again, allowed 0.00%"
