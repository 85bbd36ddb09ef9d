"""Each kind of gate fails where it must, on constructed data."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from transformations.models.evaluation.gates import judge, undecided
from transformations.models.evaluation.intervals import MODEL, Scored, draws_for, measured
from transformations.models.evaluation.resampling import Clusters
from transformations.models.records.criteria import PRODUCTION, Baseline, Criteria, Gate
from transformations.models.records.gates import GateResult

ENTITIES = 300


def scored(
    strength: float = 2.0,
    base: float = 0.5,
    entities: int = ENTITIES,
    bias: float = 0.0,
    seed: int = 0,
) -> Scored:
    """Four rows an entity; labels follow what the model sees with one strength and the baseline with another."""
    chance = np.random.default_rng(seed)
    latent = np.repeat(chance.normal(size=entities), 4) + 0.3 * chance.normal(size=4 * entities)
    labels = chance.random(len(latent)) < 1 / (1 + np.exp(-2 * latent))
    predictions = {
        name: np.clip(1 / (1 + np.exp(-much * latent - chance.normal(size=len(latent)) / 4)) + added, 0.001, 0.999)
        for name, much, added in ((MODEL, strength, bias), ("rival", base, 0.0), (PRODUCTION, base, 0.0))
    }
    return Scored(
        labels=labels,
        predictions=predictions,
        clusters=Clusters.of(np.repeat(np.arange(entities), 4)),
        moments=np.arange(len(latent), dtype=np.int64),
        segments={},
    )


def outcome(gate: Gate, rows: Scored, **more: Any) -> GateResult:
    (result,) = judge(criteria(gate), rows, **more)
    return result


def criteria(*gates: Gate) -> Criteria:
    return Criteria(entity="who", draws=400, baselines={"rival": Baseline(kind="prior")}, gates=gates)


def test_a_better_model_beats_and_a_worse_one_does_not() -> None:
    gate = Gate(metric="log_loss", beats="rival")
    passed, failed = outcome(gate, scored(2.0, 0.5)), outcome(gate, scored(0.5, 2.0))
    assert (passed.outcome, failed.outcome) == ("pass", "fail")
    assert passed.interval is not None
    assert passed.interval.low > 0
    assert "lower end of the difference must be above 0; it is -" in failed.needed


def test_a_gain_below_the_margin_or_within_its_own_noise_does_not_beat() -> None:
    rows = scored(2.0, 0.5)
    gain = outcome(Gate(metric="average_precision", beats="rival"), rows)
    assert gain.value is not None
    assert gain.baseline_value is not None
    assert gain.value - gain.baseline_value < 0.5
    assert outcome(Gate(metric="average_precision", beats="rival", margin=0.5), rows).outcome == "fail"
    alike = outcome(Gate(metric="average_precision", beats="rival"), scored(1.0, 1.0))
    assert alike.outcome == "fail"


def test_a_close_failure_says_how_many_entities_would_show_the_difference() -> None:
    rows = scored(2.0, 0.5)
    gain = outcome(Gate(metric="roc_auc", beats="rival"), rows)
    assert gain.interval is not None
    assert gain.value is not None
    assert gain.baseline_value is not None
    margin = (gain.interval.low + gain.value - gain.baseline_value) / 2
    needed = outcome(Gate(metric="roc_auc", beats="rival", margin=margin), rows).needed
    assert "is the truth, about 1,200 entities would show it" in needed  # half the distance takes four times as many


def test_not_worse_allows_a_loss_below_the_margin_only() -> None:
    rows = scored(1.0, 1.1)
    loss = outcome(Gate(metric="brier", not_worse_than="rival"), rows)
    assert loss.outcome == "fail"
    assert loss.interval is not None
    assert loss.interval.low < 0
    wide = Gate(metric="brier", not_worse_than="rival", margin=round(1e-6 - loss.interval.low, 6))
    assert outcome(wide, rows).outcome == "pass"
    narrow = Gate(metric="brier", not_worse_than="rival", margin=round(-loss.interval.low - 1e-5, 6))
    assert outcome(narrow, rows).outcome == "fail"


def test_bounds_hold_at_the_end_of_the_interval_that_could_break_them() -> None:
    honest, boasting = scored(2.0), scored(2.0, bias=0.15)
    gate = Gate(metric="calibration_error", at_most=0.1)
    assert (outcome(gate, honest).outcome, outcome(gate, boasting).outcome) == ("pass", "fail")
    found = outcome(gate, honest)
    assert found.interval is not None
    assert found.value is not None
    between = (found.value + found.interval.high) / 2
    assert outcome(Gate(metric="calibration_error", at_most=between), honest).outcome == "fail"
    area = outcome(Gate(metric="roc_auc", at_least=0.5), honest)
    assert area.interval is not None
    assert area.value is not None
    assert area.outcome == "pass"
    assert outcome(Gate(metric="roc_auc", at_least=area.value), honest).outcome == "fail"


def test_too_few_entities_or_positives_are_not_enough_evidence_and_do_not_pass() -> None:
    rows = scored(2.0, 0.5, entities=40)
    found = outcome(Gate(metric="log_loss", beats="rival"), rows)
    assert (found.outcome, found.gated) == ("not_enough_evidence", True)
    assert found.needed.startswith("needs 200 entities and 200 with a true label; there are 40 entities, ")
    assert undecided([found]) == (found,)
    few_true = outcome(Gate(metric="log_loss", beats="rival", entities=40, positives=41), rows)
    assert few_true.outcome == "not_enough_evidence"
    assert outcome(Gate(metric="log_loss", beats="rival", entities=40, positives=20), rows).outcome == "pass"


def test_one_class_is_not_enough_evidence() -> None:
    rows = scored()
    false = Scored(
        labels=np.zeros(len(rows), dtype=bool),
        predictions=rows.predictions,
        clusters=rows.clusters,
        moments=rows.moments,
        segments={},
    )
    found = outcome(Gate(metric="average_precision", beats="rival", positives=0), false)
    assert (found.outcome, found.value) == ("not_enough_evidence", None)
    assert "every label is false" in found.needed


def test_each_look_makes_the_confidence_stricter() -> None:
    gate = Gate(metric="log_loss", beats="rival")
    rows = scored(2.0, 0.5)
    used = [outcome(gate, rows, look=look).used_confidence for look in (1, 2, 10)]
    assert used == pytest.approx([0.95, 0.975, 0.995])
    first, tenth = outcome(gate, rows), outcome(gate, rows, look=10)
    assert first.interval is not None
    assert tenth.interval is not None
    assert tenth.interval.low < first.interval.low
    between = (first.interval.low + tenth.interval.low) / 2
    narrow = Gate(metric="log_loss", beats="rival", margin=between)
    assert [outcome(narrow, rows, look=look).outcome for look in (1, 10)] == ["pass", "fail"]


def test_a_stricter_confidence_takes_more_draws() -> None:
    assert [draws_for(confidence) for confidence in (0.95, 0.99, 0.995)] == [1_000, 1_000, 2_000]


def test_a_gate_against_production_needs_one() -> None:
    gate = Gate(metric="log_loss", beats=PRODUCTION)
    assert outcome(gate, scored()).outcome == "not_enough_evidence"
    assert outcome(gate, scored(), against_production=scored(2.0, 0.5)).outcome == "pass"


def with_segments(sizes: Mapping[str, int], strengths: Mapping[str, float]) -> Scored:
    """Segments of so many entities, with a model of its own strength in each."""
    parts = [scored(strengths[name], 0.5, entities=size, seed=3) for name, size in sizes.items()]
    offsets = np.cumsum([0, *sizes.values()])
    return Scored(
        labels=np.concatenate([part.labels for part in parts]),
        predictions={name: np.concatenate([part.predictions[name] for part in parts]) for name in parts[0].predictions},
        clusters=Clusters.of(
            np.concatenate([part.clusters.numbers + at for part, at in zip(parts, offsets, strict=False)])
        ),
        moments=np.concatenate([part.moments for part in parts]),
        segments={"place": np.repeat(list(sizes), [4 * size for size in sizes.values()])},
    )


def test_segments_are_judged_each_and_one_that_fails_keeps_the_version_back() -> None:
    gate = Gate(metric="log_loss", beats="rival", segments="place")
    found = judge(criteria(gate), with_segments({"a": 300, "b": 300}, {"a": 2.0, "b": 0.5}))
    assert {each.segment: each.outcome for each in found} == {"a": "pass", "b": "fail"}
    assert [each.used_confidence for each in found] == pytest.approx([0.975, 0.95])
    assert [each.segment for each in undecided(found)] == ["b"]


def test_a_small_segment_is_shown_and_not_gated() -> None:
    gate = Gate(metric="log_loss", beats="rival", segments="place")
    found = judge(criteria(gate), with_segments({"a": 300, "small": 20}, {"a": 2.0, "small": 0.1}))
    assert {each.segment: (each.outcome, each.gated) for each in found} == {
        "a": ("pass", True),
        "small": ("not_enough_evidence", False),
    }
    assert found[0].used_confidence == pytest.approx(0.95)  # what is not judged takes no part of the error rate
    assert undecided(found) == ()


def test_where_every_segment_is_too_small_the_gate_does_not_pass() -> None:
    gate = Gate(metric="log_loss", beats="rival", segments="place")
    found = judge(criteria(gate), with_segments({"a": 20, "b": 30}, {"a": 2.0, "b": 2.0}))
    assert [each.segment for each in undecided(found)] == [None]
    assert undecided(found)[0].needed == "no place has 200 entities and 200 with a true label"


def test_holms_procedure_stops_at_the_first_segment_that_fails() -> None:
    """Three segments alike: at 95 % each would pass alone, and the clearest must pass at 98.3 % first."""
    gate = Gate(metric="log_loss", beats="rival", segments="place")
    rows = with_segments(dict.fromkeys("abc", 300), dict.fromkeys("abc", 2.0))
    alone = measured(rows.segment("place", "a"), ["log_loss"], names=[MODEL, "rival"], draws=600)
    gain = alone.gain("rival", "log_loss")
    loose, strict = gain.interval(0.95), gain.interval(1 - 0.05 / 3)
    assert loose is not None
    assert strict is not None
    margin = (loose.low + strict.low) / 2
    found = judge(criteria(gate.model_copy(update={"margin": margin})), rows)
    assert [each.outcome for each in found] == ["fail", "fail", "fail"]
    assert "Holm's procedure stopped" in found[-1].needed


def test_a_regression_asks_for_no_positives() -> None:
    rows = scored()
    numbers = Scored(
        labels=rows.labels * 10.0,
        predictions={MODEL: rows.labels * 10.0 + 0.1, "rival": np.full(len(rows), 5.0)},
        clusters=rows.clusters,
        moments=rows.moments,
        segments={},
    )
    found = outcome(Gate(metric="mae", beats="rival"), numbers)
    assert (found.outcome, found.positives) == ("pass", 0)
    assert found.value is not None
    assert math.isclose(found.value, 0.1)
