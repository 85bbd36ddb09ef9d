"""Judges a version on the test split of its dataset, by the criteria that were fixed when its training began."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from transformations.datasets.config import SplitConfig
from transformations.datasets.manifest import Manifest
from transformations.engine.base.errors import DataError, UsageError
from transformations.engine.base.moments import as_utc
from transformations.models.declaration.config import DecisionRule, Declaration
from transformations.models.declaration.resolution import Resolved
from transformations.models.evaluation.baselines import fit_baselines
from transformations.models.evaluation.evaluation import (
    Production,
    evaluate,
    refuse_impossible,
    rows_after,
    seen_until,
    segments_of,
)
from transformations.models.evaluation.facts import Deciding, Evaluation, Subject
from transformations.models.evaluation.gates import judge, undecided
from transformations.models.evaluation.importance import Score
from transformations.models.evaluation.intervals import MODEL, Scored
from transformations.models.evaluation.looks import Look, look_at
from transformations.models.evaluation.metrics import Bools, Floats
from transformations.models.evaluation.resampling import Clusters
from transformations.models.fitting.split import Split, refuse_one_class, split_of
from transformations.models.judging.business import business_figures
from transformations.models.judging.worth import deciding
from transformations.models.records.base import text_hash
from transformations.models.records.criteria import PRODUCTION, Criteria
from transformations.models.records.gates import GateReport, GateResult
from transformations.models.scoring.artifact import Artifact
from transformations.models.scoring.predict import predict

_JUDGED = "test"
_SEEN = ("train", "validation")


@dataclass(frozen=True, kw_only=True)
class Version:
    """A registered version: its number, its artifact, and the manifest of the dataset that it was trained on."""

    number: int
    artifact: Artifact
    dataset: Manifest


@dataclass(frozen=True)
class Judgement:
    """What was found, and the outcome of the gates; None where the model declares no gates."""

    evaluation: Evaluation
    gates: GateReport | None

    @property
    def stopping(self) -> tuple[GateResult, ...]:
        """The gates that keep the version back."""
        return () if self.gates is None else undecided(self.gates.results)


def judge_version(
    version: Version,
    resolved: Resolved,
    train: pa.Table,
    test: pa.Table,
    *,
    looks: Path,
    at: datetime,
    who: str,
    production: Version | None = None,
) -> Judgement:
    """Judge a version on rows of its own dataset.

    resolved: the declaration as it stands now. train, test: the splits' tables, verified. looks: the folder that keeps
    the record of looks, in which this one is written down before any figure is computed. production: the version there
    now, if it is another one. UsageError where the criteria have changed since training; DataError where the test
    period is spent, or a score is impossible.
    """
    declared = resolved.declaration
    refuse_changed_criteria(version, declared)
    criteria = declared.evaluation
    split = split_of(test, _JUDGED, resolved)
    if declared.task == "binary_classification":
        refuse_one_class(split, "nothing can be judged on it. No look was counted")
    labels = _labels(split.labels, resolved)
    baselines = fit_baselines(criteria.baselines, train, _labels(split_of(train, "train", resolved).labels, resolved))
    score = score_of(version.artifact)
    columns = dict.fromkeys([*criteria.segments, *(gate.segments for gate in criteria.gates if gate.segments)])
    scored = Scored(
        labels=labels,
        predictions={MODEL: score(test), **{name: each.predict(test) for name, each in baselines.items()}},
        clusters=Clusters.of(split.entities),
        moments=split.moments,
        segments=segments_of(test, list(columns)),
        quantile=criteria.quantile,
        bins=criteria.calibration_bins,
    )
    refuse_impossible(scored)
    scores = scored.predictions[MODEL]
    business = partial(business_figures, declared.name, declared.business)
    business(test.slice(0, 0), pa.array(scores[:0]), None)  # a query that cannot run costs no look
    against = None if production is None else _against(production, scored, test)
    look = look_at(looks, _look(version, resolved, split, at=at, who=who))
    evaluation = evaluate(
        _subject(version, resolved),
        criteria,
        scored,
        test,
        score,
        [column.name for column in version.artifact.manifest.scores.inputs],
        look=look,
        at=at,
        production=against,
        deciding=_deciding(version.artifact, declared, scored),
        business=business(test, pa.array(scores), _decided(version.artifact, scores)),
    )
    results = judge(criteria, scored, look=look, against_production=_usable(against))
    return Judgement(evaluation, _report(evaluation, criteria, results))


def refuse_changed_criteria(version: Version, declared: Declaration) -> None:
    """UsageError where evaluation or gates are not those that were fixed when the version's training began."""
    fixed = version.artifact.manifest.facts.criteria_hash
    if declared.evaluation.hash != fixed:
        raise UsageError(
            f"{declared.name}: `evaluation` has changed since version {version.number} was trained (criteria "
            f"{fixed[:12]} then, {declared.evaluation.hash[:12]} now). A version is judged by the criteria that are "
            f"older than itself: undo the change, or train a new version."
        )


def _decided(artifact: Artifact, scores: Floats) -> pa.Array | None:
    """The decisions of these scores, as `predict` gives them."""
    decision = artifact.manifest.scores.decision
    return None if decision is None else pa.array(scores >= decision.threshold)


def _deciding(artifact: Artifact, declared: Declaration, scored: Scored) -> Deciding | None:
    """What the version's decisions come to, by the costs that it was trained with."""
    decision = artifact.manifest.scores.decision
    if decision is None:
        return None
    rule = artifact.manifest.facts.declaration.get("decision")
    return deciding(
        decision,
        DecisionRule.model_validate(rule).costs if rule else None,
        scored.predictions[MODEL] >= decision.threshold,
        scored.labels.astype(np.bool_),
        scored.clusters,
        draws=declared.evaluation.draws,
        seed=declared.evaluation.seed,
    )


def score_of(artifact: Artifact) -> Score:
    """The artifact's `predict`, as arrays."""

    def score(rows: pa.Table) -> Floats:
        return np.asarray(predict(artifact, rows).scores.to_numpy(zero_copy_only=False), dtype=np.float64)

    return score


def seen_by(version: Version) -> datetime:
    """The moment up to which a version has seen data: the last row of its train and validation splits, plus the label's
    horizon.
    """
    label = version.dataset.config.label
    rows = [split.last for split in version.dataset.splits if split.name in _SEEN]
    if label is None or not rows:
        raise DataError(f"dataset {version.dataset.name} has no label or no train split, so no model is made of it.")
    return seen_until(as_utc(max(rows)), label.horizon)


def _against(production: Version, scored: Scored, test: pa.Table) -> Production | None:
    """Production's scores of the same rows. None where this dataset lacks a column that production takes."""
    inputs = [column.name for column in production.artifact.manifest.scores.inputs]
    if not {*inputs} <= {*test.column_names}:
        return None
    theirs = score_of(production.artifact)(test)
    both = {MODEL: scored.predictions[MODEL], PRODUCTION: theirs}
    until = seen_by(production)
    rows = rows_after(_with(scored, both), until)
    return Production(version=production.number, seen_until=until, scored=rows)


def _usable(production: Production | None) -> Scored | None:
    return None if production is None or not len(production.scored) else production.scored


def _with(scored: Scored, predictions: dict[str, Floats]) -> Scored:
    return Scored(**{**vars(scored), "predictions": predictions})


def _labels(labels: Floats, resolved: Resolved) -> Bools | Floats:
    return labels.astype(np.bool_) if resolved.declaration.task == "binary_classification" else labels


def _look(version: Version, resolved: Resolved, split: Split, *, at: datetime, who: str) -> Look:
    moments = pa.array([split.moments.min(), split.moments.max()]).cast(pa.timestamp("us", tz="UTC")).to_pylist()
    return Look(
        entity=resolved.entity,
        label=resolved.label.column,
        first=moments[0],
        last=moments[1],
        artifact=version.artifact.id,
        model=resolved.declaration.name,
        version=version.number,
        at=at,
        who=who,
    )


def _subject(version: Version, resolved: Resolved) -> Subject:
    declared, facts = resolved.declaration, version.artifact.manifest.facts
    split = version.dataset.config.split
    return Subject(
        model=declared.name,
        version=version.number,
        artifact=version.artifact.id,
        description=declared.description,
        owner=declared.owner,
        dataset=version.dataset.name,
        dataset_hash=facts.dataset_hash,
        criteria_hash=facts.criteria_hash,
        split=_JUDGED,
        task=declared.task,
        label=resolved.label.column,
        entity=resolved.entity,
        trainer=declared.trainer,
        zone=split.zone if isinstance(split, SplitConfig) else "UTC",
        trained_on=facts.rows,
    )


def _report(evaluation: Evaluation, criteria: Criteria, results: tuple[GateResult, ...]) -> GateReport | None:
    if not results:
        return None
    subject = evaluation.subject
    return GateReport(
        model=subject.model,
        version=subject.version,
        artifact=subject.artifact,
        dataset=subject.dataset,
        dataset_hash=subject.dataset_hash,
        split=subject.split,
        criteria_hash=criteria.hash,
        look=evaluation.look,
        evaluated_at=evaluation.evaluated_at,
        evidence=text_hash(evaluation.text()),
        results=results,
    )
