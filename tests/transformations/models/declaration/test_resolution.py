"""A declaration finds its columns in the dataset, with their dtypes, or says all that does not fit."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.worlds.returns import declaration
from transformations.datasets.config import DatasetConfig
from transformations.datasets.manifest import Manifest, SplitContent
from transformations.engine.base.errors import UsageError
from transformations.models.declaration.resolution import feature_types, resolve

MOMENT = datetime(2020, 3, 1, tzinfo=UTC)
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
    config = {
        "name": "returns_2020",
        "feature_service": "returns_v1",
        "spine": {"query": "SELECT 1"},
        "label": {"column": "returns", "horizon": "7 days"},
        "split": {"train": "2020-01-01", "validation": "2020-02-01", "test": "2020-03-01"},
    }
    columns = [{"name": name, "value_type": kind} for name, kind in FEATURES.items()]
    projection = {"feature_view_name": "user_visits", "feature_columns": columns}
    return Manifest(
        name="returns_2020",
        created_at=MOMENT,
        config=DatasetConfig.model_validate(config | changes),
        code_revision="abc",
        libraries={},
        data_end=MOMENT,
        timestamp="event_timestamp",
        views=(),
        spine_tables=(),
        spine_file=None,
        functions={},
        counts={},
        splits=tuple(
            SplitContent(
                name=name,
                file=f"{name}.parquet",
                rows=1,
                content_hash="",
                first=MOMENT,
                last=MOMENT,
                columns={},
                statistics={},
            )
            for name in splits
        ),
        leakage=(),
        registry={"feature_services": [{"spec": {"name": "returns_v1", "features": [projection]}}]},
    )


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
    ],
)
def test_what_does_not_fit_the_dataset_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=f"user_return.yaml: .*{said}"):
        resolve(declaration(**changes), manifest(), COLUMNS)


def test_a_dataset_without_a_test_split_is_refused() -> None:
    with pytest.raises(UsageError, match="dataset: returns_2020 has no split test"):
        resolve(declaration(leave_out=["last_visit_at"]), manifest(("train", "validation")), COLUMNS)
