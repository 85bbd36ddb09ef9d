"""The records of models: every example reads back as it was written, and what means nothing is refused."""

import json
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from pydantic import ValidationError

import transformations.models.records as room
from transformations.engine.base.errors import DataError
from transformations.models.records.artifact import ArtifactManifest
from transformations.models.records.base import Record, canonical_text
from transformations.models.records.batches import BatchManifest
from transformations.models.records.checklist import Checklist
from transformations.models.records.criteria import Criteria
from transformations.models.records.events import ModelEvent
from transformations.models.records.gates import GateReport
from transformations.models.records.predictions import PredictionRecord, Told, batch_id, request_id, told_by
from transformations.models.records.reference import Reference

EXAMPLES = Path(str(room.__file__)).parent / "examples"
KINDS: dict[str, type[Record]] = {
    "artifact_manifest": ArtifactManifest,
    "batch_manifest": BatchManifest,
    "batch_prediction_record": PredictionRecord,
    "checklist": Checklist,
    "event_evaluated": ModelEvent,
    "event_registered": ModelEvent,
    "event_rollout": ModelEvent,
    "event_stage": ModelEvent,
    "gate_report": GateReport,
    "prediction_record": PredictionRecord,
    "reference": Reference,
}


def text_of(name: str) -> str:
    return (EXAMPLES / f"{name}.json").read_text()


def changed(name: str, **values: object) -> str:
    return json.dumps(json.loads(text_of(name)) | values)


def test_every_example_is_listed() -> None:
    assert {file.stem for file in EXAMPLES.glob("*.json")} == set(KINDS)


@pytest.mark.parametrize("name", KINDS)
def test_an_example_reads_back_as_it_was_written(name: str) -> None:
    record = KINDS[name].from_text(text_of(name), name)

    assert record.text() == text_of(name)
    assert KINDS[name].model_validate_json(record.model_dump_json()) == record


@pytest.mark.parametrize("name", KINDS)
def test_a_key_that_no_record_has_is_refused_with_the_nearest_one(name: str) -> None:
    with pytest.raises(DataError, match=r"here\.json is no .*: formatt: is no key of it; did you mean 'format'\?"):
        KINDS[name].from_text(changed(name, formatt=1), "here.json")


@pytest.mark.parametrize("name", KINDS)
def test_another_format_is_refused(name: str) -> None:
    with pytest.raises(DataError, match="of format 1: format: "):
        KINDS[name].from_text(changed(name, format=2), "here.json")


def test_a_record_cannot_be_changed() -> None:
    record = GateReport.from_text(text_of("gate_report"), "here")
    with pytest.raises(ValidationError, match="frozen"):
        record.look = 3  # type: ignore[misc]


def test_a_manifest_whose_id_is_not_that_of_its_scores_is_refused() -> None:
    scores = json.loads(text_of("artifact_manifest"))["scores"] | {"trainer": "lightgbm"}
    with pytest.raises(DataError, match="id is not the hash of scores"):
        ArtifactManifest.from_text(changed("artifact_manifest", scores=scores), "here")


def test_the_facts_of_a_run_are_no_part_of_the_id() -> None:
    facts = json.loads(text_of("artifact_manifest"))["facts"] | {"run_id": "another", "code_revision": "other"}
    assert ArtifactManifest.from_text(changed("artifact_manifest", facts=facts), "here").facts.run_id == "another"


def test_one_text_for_one_value() -> None:
    assert canonical_text({"b": 1.5, "a": [1, "ü"]}) == '{"a":[1,"ü"],"b":1.5}'
    with pytest.raises(ValueError, match="JSON"):
        canonical_text({"a": float("nan")})


def test_a_report_passes_when_every_gate_does_that_counts() -> None:
    report = GateReport.from_text(text_of("gate_report"), "here")
    better = report.results[1].model_copy(update={"outcome": "pass"})

    assert not report.passed
    assert report.model_copy(update={"results": (report.results[0], better, report.results[2])}).passed


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"interval": {"low": 0.3, "high": 0.1}}, "low is above high"),
        ({"outcome": "fail"}, "says what is needed"),
        ({"interval": None}, "passes by its interval"),
    ],
)
def test_a_result_without_grounds_is_refused(change: dict[str, object], said: str) -> None:
    first, *others = json.loads(text_of("gate_report"))["results"]
    with pytest.raises(DataError, match=said):
        GateReport.from_text(changed("gate_report", results=[first | change, *others]), "here")


@pytest.mark.parametrize(
    ("gate", "said"),
    [
        ({"metric": "log_loss"}, "give one of beats, not_worse_than, at_least, at_most, not none"),
        ({"metric": "log_loss", "beats": "prior", "at_most": 1.0}, "not beats and at_most"),
        ({"metric": "brier", "at_most": 0.1, "margin": 0.1}, "at_most takes no margin"),
        ({"metric": "brier", "beats": "priod"}, "did you mean 'prior'"),
    ],
)
def test_a_gate_that_asks_nothing_clear_is_refused(gate: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Criteria.model_validate({"entity": "user_id", "baselines": {"prior": {"kind": "prior"}}, "gates": [gate]})


def test_a_gate_is_named_by_what_it_asks() -> None:
    gates = [
        {"metric": "log_loss", "beats": "prior", "margin": 0.01},
        {"metric": "calibration_error", "at_most": 0.03, "segments": "country"},
    ]
    declared = {"entity": "user_id", "baselines": {"prior": {"kind": "prior"}}, "gates": gates}
    names = [gate.name for gate in Criteria.model_validate(declared).gates]
    assert names == ["log_loss beats prior by 0.01", "calibration_error at most 0.03 in every country"]


def test_the_hash_of_criteria_is_that_of_what_they_ask() -> None:
    one = Criteria.model_validate({"entity": "user_id", "gates": [{"metric": "brier", "at_most": 0.2}]})
    same = Criteria.model_validate({"gates": [{"at_most": 0.2, "metric": "brier"}], "entity": "user_id", "draws": 1000})
    other = Criteria.model_validate({"entity": "user_id", "gates": [{"metric": "brier", "at_most": 0.3}]})
    assert one.hash == same.hash != other.hash


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": "stage", "from_stage": "development", "to_stage": "production"}, "from there it goes to staging"),
        ({"kind": "stage", "from_stage": "archived", "to_stage": "production"}, "by a rollback only"),
        ({"kind": "rollout", "action": "start", "step": 1, "shadow": True, "percent": 5, "salt": "s"}, "in shadow"),
    ],
)
def test_an_event_that_cannot_happen_is_refused(change: dict[str, object], said: str) -> None:
    with pytest.raises(DataError, match=said):
        ModelEvent.from_text(changed("event_stage", change=change), "here")


def test_an_event_takes_effect_when_it_is_said_or_later() -> None:
    with pytest.raises(DataError, match="before the event itself"):
        ModelEvent.from_text(changed("event_rollout", effective_at="2020-02-04T06:59:59Z"), "here")


def test_a_batch_has_a_moment_and_no_event() -> None:
    with pytest.raises(DataError, match="as_of is given for the role batch"):
        PredictionRecord.from_text(changed("batch_prediction_record", as_of=None), "here")
    with pytest.raises(DataError, match="follows no rollout event"):
        PredictionRecord.from_text(changed("batch_prediction_record", event=3), "here")


def test_a_batch_that_is_run_again_gives_the_same_ids() -> None:
    record = PredictionRecord.from_text(text_of("batch_prediction_record"), "here")
    row = (record.model, record.version, record.request_timestamp)
    assert record.id == batch_id(*row, {"user_id": 42}, {})
    assert record.id == "user_churn-3-20200204T050000000000Z-d16d347a9fa6cc4a76fc83d6"
    others = [batch_id(*row, {"user_id": "42"}, {}), batch_id(*row, {"user_id": 42}, {"price": 1.0})]
    assert len({record.id, *others}) == 3


def test_an_id_of_ours_tells_its_day_and_any_other_none() -> None:
    moment = datetime(2024, 5, 20, 23, 59, 59, 999_000, tzinfo=UTC)
    asked = request_id(moment)
    assert (len(asked), asked[:12], asked == request_id(moment)) == (32, "018f98729fff", False)
    assert told_by(f"{asked}-0") == Told(moment.date())
    assert told_by(batch_id("user_churn", 3, moment, {"user_id": 42}, {})) == Told(moment.date(), "user_churn", 3)
    made_up = ["order-7", f"{uuid4().hex}-0", asked, "user_churn-3-20249999T050000000000Z-d16d347a9fa6cc4a76fc83d6"]
    assert [told_by(each) for each in made_up] == [None] * 4
    assert told_by(f"ffffffffffff{asked[12:]}-0") is None


def test_a_batch_is_of_a_day_or_of_a_file() -> None:
    for values in ({"day": None}, {"population": "spine"}, {"spine": "0" * 64}):
        with pytest.raises(DataError, match="a batch is of a day, or of a spine's file"):
            BatchManifest.from_text(changed("batch_manifest", **values), "here")


def test_a_prediction_is_one_line_and_keeps_its_microseconds() -> None:
    record = PredictionRecord.from_text(text_of("prediction_record"), "here")
    assert record.line().count("\n") == 1
    assert '"2020-02-04T07:15:02.123456Z"' in record.line()
    assert record.day == "2020-02-04"


def test_a_moment_without_an_offset_is_refused() -> None:
    with pytest.raises(DataError, match="at: "):
        ModelEvent.from_text(changed("event_stage", at="2020-02-03T10:00:00"), "here")
