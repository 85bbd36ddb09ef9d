"""A declaration finds its columns in the dataset, with their dtypes, or says all that does not fit."""

from typing import Any

import pyarrow as pa
import pytest

from tests.worlds.returns import dataset_manifest, declaration, split_content
from transformations.datasets.manifest import Manifest
from transformations.engine.base.errors import UsageError
from transformations.models.declaration.resolution import feature_types, resolve

FEATURES = {
    "visits": "INT64",
    "days_since": "DOUBLE",
    "is_member": "BOOL",
    "country": "STRING",
    "last_visit_at": "UNIX_TIMESTAMP",
}
COLUMNS = {
    "user_id": "int64",
    "event_timestamp": "timestamp[us, tz=UTC]",
    "price": "double",
    "returns": "bool",
    "visits": "int64",
    "days_since": "double",
    "is_member": "bool",
    "country": "string",
    "last_visit_at": "timestamp[us, tz=UTC]",
}


def manifest(splits: tuple[str, ...] = ("train", "validation", "test"), **changes: Any) -> Manifest:
    return dataset_manifest([split_content(name, pa.table({"x": [1]})) for name in splits], FEATURES, **changes)


def test_a_model_takes_the_features_of_its_service_and_the_request_fields_it_names() -> None:
    found = resolve(declaration(leave_out=["last_visit_at"], request_fields=["price"]), manifest(), COLUMNS)
    assert [(column.name, column.dtype) for column in found.inputs] == [
        ("visits", "Int64"),
        ("days_since", "Float64"),
        ("is_member", "Bool"),
        ("country", "String"),
        ("price", "Float64"),
    ]
    assert (found.label.column, found.timestamp, found.entity) == ("returns", "event_timestamp", "user_id")


def test_full_feature_names_begin_with_the_view() -> None:
    assert next(iter(feature_types(manifest(full_feature_names=True)))) == "user_visits__visits"


def baseline(**said: str) -> dict[str, Any]:
    """A change of a declaration: one baseline, called `known`."""
    return {"evaluation": {"entity": "user_id", "baselines": {"known": said}}}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "last_visit_at: its dtype UNIX_TIMESTAMP is one that no model takes. Put it in leave_out"),
        ({"leave_out": ["last_visit"]}, "leave_out: the dataset has no feature 'last_visit'; did you mean"),
        ({"leave_out": list(FEATURES)}, "leave_out: no feature is left to learn from"),
        (
            {"request_fields": ["prize"]},
            "request_fields: the dataset's spine has no column 'prize'; did you mean 'price'",
        ),
        ({"request_fields": ["returns"]}, "request_fields: 'returns' is the label"),
        ({"request_fields": ["event_timestamp"]}, "'event_timestamp' is timestamp.*, which no model takes"),
        ({"transformations": {}}, "country: a text needs a transformation: one_hot"),
        ({"transformations": {"county": {"kind": "one_hot"}}}, "the model takes no 'county'; did you mean 'country'"),
        ({"transformations": {"days_since": {"kind": "one_hot"}}}, "days_since: one_hot is for categories"),
        ({"sample_weight": "weight"}, "sample_weight: the dataset has no column 'weight'"),
        (
            {"evaluation": {"entity": "user"}},
            "evaluation.entity: the dataset has no column 'user'; did you mean 'user_id'",
        ),
        ({"evaluation": {"entity": "user_id", "segments": ["land"]}}, "evaluation.segments: the dataset has no"),
        ({"sample_weight": "country"}, "sample_weight: 'country' is string, and no number"),
        ({"sample_weight": "last_visit_at"}, "sample_weight: 'last_visit_at' is timestamp.*, and no number"),
        ({"sample_weight": "returns"}, "sample_weight: 'returns' is the label"),
        ({"evaluation": {"entity": "returns"}}, "evaluation.entity: 'returns' is the label"),
        (baseline(kind="binned_feature", feature="returns"), "evaluation.baselines.known: 'returns' is the label"),
        (baseline(kind="rule", when="returns == 1"), "evaluation.baselines.known: 'returns' is the label"),
        (baseline(kind="binned_feature", feature="last_visit_at"), "'last_visit_at' is timestamp.*, which has no bins"),
        ({"request_fields": ["price", "price"]}, "request_fields: 'price' stands twice"),
        ({"leave_out": ["last_visit_at", "last_visit_at"]}, "leave_out: 'last_visit_at' stands twice"),
        ({"evaluation": {"entity": "user_id", "segments": ["country", "country"]}}, "segments: 'country' stands twice"),
    ],
)
def test_what_does_not_fit_the_dataset_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=f"user_return.yaml: .*{said}"):
        resolve(declaration(**changes), manifest(), COLUMNS)


def test_a_dataset_without_a_test_split_is_refused() -> None:
    with pytest.raises(UsageError, match="dataset: returns_2020 has no split test"):
        resolve(declaration(leave_out=["last_visit_at"]), manifest(("train", "validation")), COLUMNS)
