"""Judging trained versions on a dataset's test split: what is refused, recorded, compared and written."""

import dataclasses
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from tests.worlds.returns import TEST, TRAIN, facts, resolved, rows, trained
from transformations.datasets.config import LabelConfig
from transformations.engine.base.errors import DataError, UsageError
from transformations.models.declaration.resolution import Resolved
from transformations.models.evaluation.looks import looks
from transformations.models.judging.candidate import Judgement, Version, judge_version, seen_by
from transformations.models.judging.publishing import CARD, EVALUATION, GATES, PAGE, read_judgement, write_judgement
from transformations.models.records.artifact import ArtifactManifest, InputColumn
from transformations.models.scoring.artifact import assemble
from transformations.models.scoring.predict import predict

NOW = datetime(2020, 6, 1, tzinfo=UTC)
LAST_SEEN = datetime(2020, 2, 10, tzinfo=UTC)
EVALUATION_OF_RETURNS: dict[str, Any] = {
    "entity": "user_id",
    "draws": 100,
    "segments": ["country"],
    "baselines": {
        "prior": {"kind": "prior"},
        "visits": {"kind": "binned_feature", "feature": "visits", "bins": 5},
        "quiet": {"kind": "rule", "when": "visits < 3 or visits is none"},
    },
    "gates": [
        {"metric": "log_loss", "beats": "prior", "entities": 30, "positives": 20},
        {"metric": "average_precision", "at_least": 0.999, "entities": 30, "positives": 20},
    ],
}


def dataset() -> Any:
    """What judging asks of a manifest."""
    return SimpleNamespace(
        name="returns_2020",
        config=SimpleNamespace(
            label=LabelConfig.model_validate({"column": "returns", "horizon": "7 days"}), split=None
        ),
        splits=[
            SimpleNamespace(name="train", last=LAST_SEEN - timedelta(days=20)),
            SimpleNamespace(name="validation", last=LAST_SEEN),
            SimpleNamespace(name="test", last=LAST_SEEN + timedelta(days=90)),
        ],
    )


def returns(trainer: str = "xgboost", **changes: Any) -> tuple[Version, Resolved]:
    declared = resolved(trainer, evaluation=EVALUATION_OF_RETURNS, **changes)
    made = trained(trainer, evaluation=EVALUATION_OF_RETURNS, **changes)
    run = facts(made, criteria_hash=declared.declaration.evaluation.hash)
    manifest = ArtifactManifest(id=made.id, scores=made.scores, facts=run)
    artifact = assemble(manifest, made.transformations, made.files)
    return Version(number=2, artifact=artifact, dataset=dataset()), declared


@pytest.fixture(scope="module")
def version() -> tuple[Version, Resolved]:
    return returns()


def judged(version: tuple[Version, Resolved], folder: Path, test: pa.Table = TEST, **more: Any) -> Judgement:
    return judge_version(*version, TRAIN, test, looks=folder, at=NOW, who="ada", **more)


def test_a_version_is_measured_beside_its_baselines_and_held_to_its_gates(
    version: tuple[Version, Resolved], tmp_path: Path
) -> None:
    found = judged(version, tmp_path)
    assert [each.name for each in found.evaluation.predictors] == ["model", "prior", "visits", "quiet"]
    assert found.gates is not None
    assert [result.outcome for result in found.gates.results] == ["pass", "fail"]
    assert [result.name for result in found.stopping] == ["average_precision at least 0.999"]
    assert [group.name for group in found.evaluation.segments[0].groups] == ["de", "fr", "null", "us"]
    assert {each.feature for each in found.evaluation.importance} == {"visits", "days_since", "is_member", "country"}


def test_changed_criteria_are_refused_before_anybody_looks(version: tuple[Version, Resolved], tmp_path: Path) -> None:
    easier = {**EVALUATION_OF_RETURNS, "gates": EVALUATION_OF_RETURNS["gates"][:1]}
    with pytest.raises(
        UsageError, match=r"`evaluation` has changed since version 2 was trained .* train a new version"
    ):
        judged((version[0], resolved(evaluation=easier)), tmp_path)
    assert looks(tmp_path) == ()


def test_the_second_candidate_on_a_period_is_judged_more_strictly(
    version: tuple[Version, Resolved], tmp_path: Path
) -> None:
    other = returns(seed=8)
    assert other[0].artifact.id != version[0].artifact.id
    candidates = [version, other, version]
    found = [judged(each, tmp_path).gates for each in candidates]
    assert [report and report.look for report in found] == [1, 2, 1]
    assert [report and report.results[0].used_confidence for report in found] == pytest.approx([0.95, 0.975, 0.95])
    assert [look.who for look in looks(tmp_path)] == ["ada", "ada"]


def test_production_is_compared_on_the_rows_that_it_has_not_seen(
    version: tuple[Version, Resolved], tmp_path: Path
) -> None:
    production = Version(number=1, artifact=returns(seed=8)[0].artifact, dataset=dataset())
    assert seen_by(production) == LAST_SEEN + timedelta(days=7)
    found = judged(version, tmp_path, production=production).evaluation.production
    later = sum(moment.as_py() >= LAST_SEEN + timedelta(days=7) for moment in TEST["event_timestamp"])
    assert found is not None
    assert 0 < found.rows == later < TEST.num_rows
    assert {each.over for each in found.differences} == {"production"}


def test_where_production_takes_what_this_dataset_lacks_there_is_no_comparison(
    version: tuple[Version, Resolved], tmp_path: Path
) -> None:
    inputs = [InputColumn(name="visits", dtype="Int64"), InputColumn(name="gone", dtype="Int64")]
    artifact: Any = SimpleNamespace(manifest=SimpleNamespace(scores=SimpleNamespace(inputs=inputs)))
    production = Version(number=1, artifact=artifact, dataset=dataset())
    assert judged(version, tmp_path, production=production).evaluation.production is None


def test_a_regression_is_judged_too(tmp_path: Path) -> None:
    criteria = {
        "entity": "user_id",
        "draws": 100,
        "baselines": {"prior": {"kind": "prior"}},
        "gates": [{"metric": "mae", "beats": "prior", "entities": 30}],
    }
    made = trained("linear", evaluation=criteria)
    declared = resolved("linear", evaluation=criteria)
    run = facts(made, criteria_hash=declared.declaration.evaluation.hash)
    artifact = assemble(ArtifactManifest(id=made.id, scores=made.scores, facts=run), made.transformations, made.files)
    found = judged((Version(number=1, artifact=artifact, dataset=dataset()), declared), tmp_path)
    assert found.stopping == ()
    assert [each.metric for each in found.evaluation.differences] == ["mae", "rmse", "quantile_loss"]


def test_a_judgement_is_written_whole_and_reads_back(version: tuple[Version, Resolved], tmp_path: Path) -> None:
    found = judged(version, tmp_path / "looks")
    folder = tmp_path / "user_return" / "2"
    assert write_judgement(folder, found) == folder / PAGE
    assert {file.name for file in folder.iterdir()} == {EVALUATION, GATES, PAGE, CARD, "SHA256SUMS"}
    assert read_judgement(folder) == found
    again = judged(version, tmp_path / "looks", rows(150, seed=4))
    write_judgement(folder, again)
    assert read_judgement(folder) == again
    assert [each.name for each in folder.parent.glob("[!.]*")] == ["2"]


def test_gates_that_rest_on_other_figures_are_refused(version: tuple[Version, Resolved], tmp_path: Path) -> None:
    write_judgement(tmp_path / "2", judged(version, tmp_path / "looks"))
    file = tmp_path / "2" / EVALUATION
    file.chmod(0o640)
    file.write_text(file.read_text().replace('"draws": 100', '"draws": 101'))
    with pytest.raises(DataError, match=r"gates\.json rests on other figures than evaluation\.json holds"):
        read_judgement(tmp_path / "2")
    file.unlink()
    with pytest.raises(DataError, match="holds no whole evaluation"):
        read_judgement(tmp_path / "2")


def test_decisions_and_business_metrics_stand_in_the_page_and_the_card(tmp_path: Path) -> None:
    decision = {"costs": {"unit": "USD", "true_positive": 5, "false_positive": -1}}
    query = "SELECT count(*) FROM predictions WHERE decision AND returns"
    asked = {"name": "reached", "query": query, "owner": "ada", "unit": "users", "direction": "up", "horizon": "7 days"}
    version, declared = returns(decision=decision, business=[asked])
    manifest = version.artifact.manifest
    facts_of_costs = manifest.facts.model_copy(update={"declaration": {"decision": decision}})
    artifact = dataclasses.replace(version.artifact, manifest=manifest.model_copy(update={"facts": facts_of_costs}))
    found = judged((dataclasses.replace(version, artifact=artifact), declared), tmp_path / "looks")

    deciding, (business,) = found.evaluation.deciding, found.evaluation.business
    assert deciding is not None
    assert deciding.value is not None
    acts = predict(artifact, TEST).decisions
    assert deciding.acted == sum(acts.to_pylist())
    assert (
        business.value
        == deciding.hits
        == sum(act and label for act, label in zip(acts.to_pylist(), TEST["returns"].to_pylist(), strict=True))
    )
    folder = tmp_path / "user_return" / "2"
    write_judgement(folder, found)
    assert read_judgement(folder) == found
    for text in ((folder / PAGE).read_text(), (folder / CARD).read_text()):
        assert f"Acts on {deciding.acted:,} of 200 rows" in text
        assert " USD on average (" in text
        assert "reached ↑" in text


def test_a_business_metric_that_cannot_be_asked_costs_no_look(tmp_path: Path) -> None:
    asked = {"name": "n", "query": "SELECT gone FROM predictions", "owner": "ada", "unit": "users", "direction": "up"}
    version = returns(business=[asked | {"horizon": "7 days"}])
    with pytest.raises(UsageError, match="business metric 'n' cannot be run"):
        judged(version, tmp_path)
    assert looks(tmp_path) == ()
