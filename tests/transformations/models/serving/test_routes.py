"""The plain endpoint: scores with all that a caller may want to know of them."""

from tests.transformations.models.batch.conftest import by_hand
from tests.worlds import weekly
from transformations.engine.base.settings import get_settings
from transformations.models.records.predictions import PredictionRecord

from .conftest import NOW, Serve

PATH = f"/v1/models/{weekly.MODEL}/predictions"


async def test_every_user_has_the_score_of_features_counted_by_hand(serve: Serve) -> None:
    expected = by_hand(NOW)
    async with serve() as client:
        answer = (await client.post(PATH, json={"rows": [{"user_id": user} for user in expected]})).json()

    assert [row["score"] for row in answer["predictions"]] == list(expected.values())
    first = answer["predictions"][0]
    assert first == {
        "id": f"{answer['id']}-0",
        "score": expected[1],
        "decision": expected[1] >= 0.5,
        "model_version": 1,
        "role": "production",
        "degraded": False,
        "feature_timestamps": {"visits_28d": "2024-05-20T02:00:00Z", "spend_28d": "2024-05-20T02:00:00Z"},
    }


async def test_what_was_answered_is_recorded(serve: Serve) -> None:
    async with serve() as client:
        answer = (await client.post(PATH, json={"id": "monday", "rows": [{"user_id": 7}, {"user_id": 999}]})).json()
        lines = [
            line
            for file in (get_settings().predictions_dir / weekly.MODEL / "segments").iterdir()
            for line in file.read_text().splitlines()
        ]

    records = [PredictionRecord.model_validate_json(line) for line in lines]
    assert [(record.id, record.keys, record.score) for record in records] == [
        (row["id"], {"user_id": user}, row["score"]) for row, user in zip(answer["predictions"], (7, 999), strict=True)
    ]
    assert [record.features["visits_28d"].status for record in records] == ["PRESENT", "NOT_FOUND"]
    assert {record.request_timestamp for record in records} == {NOW}
