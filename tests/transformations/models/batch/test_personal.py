"""Personal data in the record: what a contract marks is kept, hashed or dropped as the version declares it."""

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from feast import FeatureStore

from tests.transformations.models.predictions.conftest import ARTIFACT, give_artifact, lines, options
from tests.transformations.models.serving.test_following import release_another
from tests.worlds import weekly
from tests.worlds.returns import write_dataset
from transformations.datasets.manifest import read_manifest
from transformations.engine.base.errors import DataError, UsageError
from transformations.engine.base.settings import Settings, get_settings
from transformations.models.batch.online import put_online
from transformations.models.batch.personal import HASHED, Personal, classes_of, hashed, is_hashed
from transformations.models.batch.publishing import predictions_of
from transformations.models.predictions.collect import collect
from transformations.models.predictions.recorder import Recorder
from transformations.models.predictions.segment_reading import segments_in
from transformations.models.predictions.segments import segments_folder
from transformations.models.records.predictions import PredictionRecord, batch_id
from transformations.stores.scores import score_view

from .conftest import scorer

KEY = "0123456789abcdef"
Treat = Callable[..., PredictionRecord]
RECORD = PredictionRecord.model_validate_json(lines("a")[0])


@pytest.fixture
def treat(tmp_path: Path) -> Treat:
    """The record of a request as it is filed, by what its version declares."""

    def make(recording: dict[str, Any], key: str | None = KEY, record: PredictionRecord = RECORD) -> PredictionRecord:
        settings = Settings.model_validate({"data": tmp_path, "record_key": key})
        if not settings.models_dir.exists():
            write_dataset(settings.datasets_dir)
            (dataset,) = settings.datasets_dir.glob("[!.]*")
            give_artifact(settings, "returns", declaration={"recording": recording}, dataset=dataset.name)
        return Personal(settings).treated(record)

    return make


def test_without_a_word_everything_is_kept(treat: Treat) -> None:
    assert treat({}) == RECORD


def test_a_field_is_hashed_with_the_key_and_another_dropped(treat: Treat) -> None:
    found = treat({"fields": {"user_id": "hash", "price": "drop", "visits_28d": "hash"}})
    assert is_hashed(found.keys["user_id"])
    assert found.request == {}
    feature = found.features["visits_28d"]
    assert is_hashed(feature.value)
    assert (feature.status, feature.row_timestamp) == ("PRESENT", RECORD.features["visits_28d"].row_timestamp)
    assert (found.score, found.id) == (RECORD.score, RECORD.id)


def test_equal_values_of_a_field_stay_equal_and_nothing_else_does(treat: Treat) -> None:
    rule = {"fields": {"user_id": "hash", "visits_28d": "hash"}}
    same = treat(rule, record=RECORD.model_copy(update={"keys": {"user_id": 4}}))
    other = treat(rule, record=RECORD.model_copy(update={"keys": {"user_id": 5}}))
    assert treat(rule, record=RECORD.model_copy(update={"keys": {"user_id": 4}})) == same
    values = {same.keys["user_id"], other.keys["user_id"], same.features["visits_28d"].value}
    assert len(values) == 3
    with_another_key = treat(rule, key=KEY[::-1], record=RECORD.model_copy(update={"keys": {"user_id": 4}}))
    assert with_another_key.keys != same.keys


def test_a_null_says_nothing_and_stays_one(treat: Treat) -> None:
    record = RECORD.model_copy(update={"request": {"price": None}})
    assert treat({"fields": {"price": "hash"}}, record=record).request == {"price": None}


def test_a_class_of_personal_data_is_that_of_the_datasets_own_registry(weekly_production: Path) -> None:
    manifest, _ = read_manifest(next(get_settings().datasets_dir.glob("[!.]*")))
    (view,) = manifest.registry["feature_views"]
    for column in (*view["spec"]["features"], *view["spec"]["entity_columns"]):
        column["tags"] = {"pii": {"user_id": "pseudonymous", "visited_at": "sensitive"}.get(column["name"], "none")}
    found = classes_of(manifest)
    assert {name: pii for name, pii in found.items() if pii != "none"} == {
        "user_id": "pseudonymous", "visited_at": "sensitive", "days_since": "sensitive"
    }  # fmt: skip


def test_what_is_to_be_hashed_without_a_key_is_refused_and_stays_in_its_segment(treat: Treat, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="FEATURES_RECORD_KEY"):
        treat({"fields": {"user_id": "hash"}}, key=None)
    settings = Settings(data=tmp_path)
    with Recorder(segments_folder(settings), options()) as recorder:
        recorder.record(lines("a"))
    with pytest.raises(UsageError, match="FEATURES_RECORD_KEY"):
        collect(settings)
    assert len(segments_in(segments_folder(settings))) == 1


def test_a_record_whose_artifact_is_gone_stays_in_its_segment(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"artifact {ARTIFACT[:12]} of model returns is not in"):
        Personal(Settings(data=tmp_path)).treated(RECORD)


def test_what_no_hash_began_is_none() -> None:
    assert [is_hashed(each) for each in (None, 4, "hmac", HASHED + "0a")] == [False, False, False, True]


def test_a_batch_is_published_as_its_version_declares_it(
    weekly_production: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEATURES_RECORD_KEY", KEY)
    release_another(weekly_production, recording={"fields": {"user_id": "hash", "spend_28d": "drop"}})
    plain, treated = (
        predictions_of(scorer(weekly_production, number).day(date(2024, 5, 13)).folder).to_pylist() for number in (1, 2)
    )

    assert len(plain) > 70
    for before, after in zip(plain, treated, strict=True):
        assert after["keys"] == {"user_id": hashed("user_id", before["keys"]["user_id"], get_settings())}
        assert after["features"].keys() == {"visits_28d", "days_since"}
        assert after["features"]["visits_28d"] == before["features"]["visits_28d"]
        assert after["score"] == before["score"]
        told = batch_id(weekly.MODEL, 2, before["request_timestamp"], before["keys"], {})
        assert after["id"][:-24] == told[:-24]
        assert after["id"] != told, "whom it is of, nobody can try out"
    assert len({row["id"] for row in treated}) == len(treated)
    with pytest.raises(UsageError, match="user_id is hashed or dropped in the record"):
        put_online(
            weekly.MODEL, [scorer(weekly_production, 2).day(date(2024, 5, 13))], *weekly_store(weekly_production)
        )


def weekly_store(project: Path) -> tuple[FeatureStore, Settings]:
    """The small project's store, with a view of its model's scores."""
    store = FeatureStore(repo_path=str(project / "repo"))
    user = store.get_entity("user")
    store.apply([score_view(weekly.MODEL, entity=user, owner=weekly.OWNER)])
    return store, get_settings()
