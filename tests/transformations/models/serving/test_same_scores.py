"""Whoever answers, over whichever API, says what `features model predict` says of the same row, to the bit."""

from collections import Counter
from datetime import timedelta
from pathlib import Path

import httpx

from tests.transformations.models.batch.conftest import scorer
from tests.worlds import weekly
from transformations.engine.base.settings import get_settings
from transformations.models.batch.publishing import predictions_of
from transformations.models.log.event_log import EventLog
from transformations.models.records.events import RolloutStep
from transformations.models.serving.api.app import create_app
from transformations.models.versions import promote

from .conftest import NOW, ask, is_ready, recorded, running, until
from .test_following import release_another
from .test_rollouts import append

SIX = NOW - timedelta(hours=6)
"""The moment at which a batch of that Monday scores everybody."""


async def test_every_role_over_both_apis_says_and_records_what_the_batch_says(project: Path) -> None:
    rollout = {"unit": ["user_id"], "holdout": "20 %"}
    release_another(project, hyperparameters={"l2": 3.0}, rollout=rollout)
    promote(weekly.MODEL, 2, "production", EventLog("shop"), get_settings(), why="better")
    release_another(project, hyperparameters={"l2": 9.0}, rollout=rollout)
    append(RolloutStep(action="start", step=1, shadow=True, salt="s", unit=("user_id",)), NOW, candidate=3)
    said = {}
    for number in (2, 3):
        batch = predictions_of(scorer(project, number).day(SIX.date()).folder).to_pylist()
        said |= {(number, row["keys"]["user_id"]): (row["score"], row["decision"], row["features"]) for row in batch}
    users = [user for number, user in said if number == 2]

    moment = NOW
    async with running(create_app([weekly.MODEL], clock=lambda: moment)) as client:
        await until(lambda: is_ready(client))
        moment = SIX  # the step stays in effect: a route never goes back
        shadowed = (await ask(client, *users, id="shadowed")).json()["predictions"]
        await until(lambda: _are_recorded(2 * len(users)))
        moment = NOW
        append(RolloutStep(action="advance", step=2, percent=50, salt="s", unit=("user_id",)), NOW, candidate=3)
        await until(lambda: _has_canary(client))
        moment = SIX
        plain = (await ask(client, *users, id="plain")).json()["predictions"]
        tensor = {"name": "user_id", "shape": [len(users)], "datatype": "INT64", "data": users}
        asked = {"inputs": [tensor], "id": "tensors"}
        inferred = (await client.post(f"/v2/models/{weekly.MODEL}/infer", json=asked)).json()
        canary = sum(row["role"] == "canary" for row in plain)  # which production scores, too, after the answer
        await until(lambda: _are_recorded(4 * len(users) + 2 * canary))
    outputs = {each["name"]: each["data"] for each in inferred["outputs"]}
    tensors = zip(outputs["model_version"], outputs["score"], outputs["decision"], strict=True)

    answers = [(row["model_version"], row["score"], row["decision"]) for row in plain]
    assert answers == [(int(version), score, decision) for version, score, decision in tensors]
    assert {version for version, _, _ in answers} == {2, 3}
    assert {row["model_version"] for row in shadowed} == {2}
    assert Counter((each.role, each.version) for each in recorded() if each.id.startswith("shadowed")) == {
        ("production", 2): len(users),
        ("shadow", 3): len(users),
    }
    answers += [(row["model_version"], row["score"], row["decision"]) for row in shadowed]
    for user, (version, score, decision) in zip([*users, *users], answers, strict=True):
        assert said[version, user][:2] == (score, decision)
    roles = set()
    for record in recorded():
        user = int(record.keys["user_id"] or 0)
        features = {name: each.model_dump() for name, each in record.features.items()}
        assert said[record.version, user] == (record.score, record.decision, features)
        roles.add((record.role, record.holdout))
    assert roles == {(role, held) for role in ("production", "canary") for held in (True, False)} | {("shadow", False)}


async def _has_canary(client: httpx.AsyncClient) -> bool:
    return (await client.get(f"/v1/models/{weekly.MODEL}")).json()["canary"] == 3


async def _are_recorded(rows: int) -> bool:
    return len(list(recorded())) == rows
