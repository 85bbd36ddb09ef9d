"""Features that move by construction are known by their definitions, and a model that takes one raw is warned."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.worlds.contracts import event_source
from transformations import (
    LIFETIME,
    Count,
    First,
    Last,
    Max,
    Ratio,
    Sum,
    WindowedFeatures,
    at_least,
    days,
)
from transformations.contracts import Column
from transformations.datasets.manifest import Manifest
from transformations.engine.vocabulary.resolution import resolve
from transformations.models.checking.growing import growing, warnings_of
from transformations.stores.base.views import OVER_TIME, over_time

VISITS = event_source(
    "visits",
    [
        Column("user_id", "Int64", nullable=False, description="user"),
        Column("at", "UnixTimestamp", nullable=False, description="when"),
        Column("spent", "Float64", nullable=True, description="amount"),
    ],
    at="at",
)


def moves(*features: Any) -> dict[str, str | None]:
    view = WindowedFeatures(
        name="user_visits",
        join_key="user_id",
        source="visits",
        windows=[days(7), LIFETIME],
        description="visits",
        features=features,
    )
    resolved = resolve(view, lambda _name: VISITS)
    return {each.name: over_time(resolved, each) for each in resolved.features}


def test_a_lifetime_adds_up_extends_settles_or_ages_and_a_window_does_nothing_of_it() -> None:
    facts = {"description": "d", "unit": "u", "expect": at_least(0)}
    found = moves(
        Count(name="visits", **facts),
        Sum("spent", name="spend", **facts),
        Max("spent", name="spent", **facts),
        Ratio(Sum("spent"), Count(), name="mean_spend", **facts),
        Last("at", name="at", description="d", unit="UTC time"),
        First("at", name="at", description="d", unit="UTC time"),
    )
    assert {name: moved for name, moved in found.items() if moved} == {
        "visits_count_lifetime": "adds up",
        "spend_sum_lifetime": "adds up",
        "spent_max_lifetime": "extends",
        "mean_spend_mean_lifetime": "settles",
        "at_first_lifetime": "ages",
    }


def manifest(columns: dict[str, str | None], on_demand: dict[str, str]) -> Manifest:
    """What of a manifest tells how its columns move: the snapshot of the registry."""
    features = [{"name": name, **({"tags": {OVER_TIME: tag}} if tag else {})} for name, tag in columns.items()]
    service = {
        "spec": {
            "features": [
                {"feature_view_name": "seen", "feature_columns": [{"name": name} for name in columns]},
                {"feature_view_name": "now", "feature_columns": [{"name": name} for name in on_demand]},
            ]
        }
    }
    tags = {f"{name}.inputs": inputs for name, inputs in on_demand.items()}
    registry = {
        "feature_services": [service],
        "feature_views": [{"spec": {"name": "seen", "features": features}}],
        "on_demand_feature_views": [{"spec": {"name": "now", "tags": tags}}],
    }
    return cast("Manifest", SimpleNamespace(registry=registry, config=SimpleNamespace(full_feature_names=False)))


@pytest.mark.parametrize(
    ("inputs", "is_age"),
    [("request_timestamp, seen:first", True), ("seen:first", False), ("request_timestamp, seen:last", False)],
)
def test_an_age_reads_the_request_and_a_moment_that_stays(inputs: str, is_age: bool) -> None:
    found = growing(manifest({"first": "ages", "last": None}, {"since": inputs}))
    assert [(each.column, each.movement) for each in found.values()] == ([("since", "ages")] if is_age else [])


def test_a_model_is_warned_of_what_leaves_the_range_of_training_and_not_of_what_settles() -> None:
    known = manifest({"visits": "adds up", "mean": "settles", "visits_7d": None}, {})
    (warning,) = warnings_of(known, ["visits", "mean", "visits_7d"])
    assert warning.startswith("visits is a count or sum over a lifetime, which only adds up: later rows have values")
    assert warnings_of(known, ["mean", "visits_7d"]) == []
