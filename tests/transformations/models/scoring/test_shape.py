"""The form of a model's requests and answers follows from its artifact and dataset, and tells its differences."""

import pytest

from tests.worlds.returns import dataset_manifest, facts, in_memory, trained
from transformations.engine.base.errors import DataError
from transformations.models.records.artifact import ArtifactManifest
from transformations.models.scoring.shape import Given, Shape, shape_of

SHAPE = Shape(
    keys=(Given("user_id", "INT64"),), request=(Given("country", "STRING"),), task="binary_classification", decides=True
)


def manifest(**declaration: object) -> ArtifactManifest:
    made = trained()
    return in_memory(made).manifest.model_copy(update={"facts": facts(made, declaration=declaration)})


def dataset(key: str = "user_id", asked: dict[str, str] | None = None):
    found = dataset_manifest([])
    view = {"spec": {"name": "user_visits", "entity_columns": [{"name": key, "value_type": "INT64"}]}}
    schema = [{"name": name, "value_type": kind} for name, kind in (asked or {}).items()]
    source = {"request": {"request_data_source": {"request_data_options": {"schema": schema}}}}
    now = {"spec": {"name": "user_now", "sources": source}}
    registry = {**found.registry, "feature_views": [view], "on_demand_feature_views": [now]}
    return found.model_copy(update={"registry": registry})


def test_keys_and_fields_are_those_of_the_dataset_and_of_its_on_demand_features() -> None:
    found = shape_of(manifest(request_fields=["country"]), dataset(asked={"amount": "DOUBLE"}))
    assert found.keys == (Given("user_id", "INT64"),)
    assert found.request == (Given("amount", "DOUBLE"), Given("country", "STRING"))
    assert (found.task, found.decides) == ("binary_classification", False)


def test_a_field_of_two_dtypes_and_one_called_like_a_key_are_refused() -> None:
    with pytest.raises(DataError, match="'country' of the request is STRING to the model and INT64 to a feature"):
        shape_of(manifest(request_fields=["country"]), dataset(asked={"country": "INT64"}))
    with pytest.raises(DataError, match="has the name of a join key"):
        shape_of(manifest(request_fields=["country"]), dataset(key="country"))


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (SHAPE, []),
        (Shape(keys=SHAPE.keys, request=(), task=SHAPE.task, decides=True), ["it takes no field 'country'"]),
        (
            Shape(keys=(Given("user_id", "STRING"),), request=SHAPE.request, task=SHAPE.task, decides=True),
            ["join key 'user_id' is STRING in place of INT64"],
        ),
        (
            Shape(keys=SHAPE.keys, request=SHAPE.request, task="regression", decides=False),
            ["the task is regression in place of binary_classification", "its answers have no decision"],
        ),
        (
            Shape(keys=SHAPE.keys, request=(*SHAPE.request, Given("x", "INT64")), task=SHAPE.task, decides=True),
            ["it takes a new field 'x' (INT64)"],
        ),
    ],
)
def test_each_difference_is_told(other: Shape, said: list[str]) -> None:
    assert SHAPE.differences(other) == said
