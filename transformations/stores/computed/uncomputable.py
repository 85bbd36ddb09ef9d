"""Refuses on-demand views of Feast's own that no evaluation, or not Feast's, can make the same on both paths."""

from __future__ import annotations

from feast import OnDemandFeatureView

from transformations.engine.base.errors import UsageError

_REMEDY = "Write its functions with @on_demand and declare it with on_demand_view."


def refuse_uncomputable(view: OnDemandFeatureView) -> None:
    """UsageError for a view whose values in training and serving no evaluation can make the same."""
    projections = view.source_feature_view_projections.values()
    renamed = ", ".join(each.name for each in projections if each.name_alias or each.join_key_map)
    kinds = {
        f"its source {renamed} is renamed or joined by other keys, which Feast leaves out there": bool(renamed),
        "it aggregates: Feast computes that online only, and drops the result": bool(view.aggregations),
        f"its mode is {view.mode!r}, and functions of mode pandas and python are evaluated here": (
            view.mode not in ("pandas", "python") and not view.aggregations
        ),
        "it has no function": view.feature_transformation is None and not view.aggregations,
    }
    for reason, holds in kinds.items():
        if holds:
            raise UsageError(f"on-demand view {view.name} cannot be computed: {reason}. {_REMEDY}")


def refuse_uneven(view: OnDemandFeatureView) -> None:
    """UsageError for a view that Feast's own stores would compute differently in training and serving.

    What `offline_store: on_demand: strict` in feature_store.yaml refuses.
    """
    kinds = {
        "it is a singleton: Feast gives it lists in training, online the first row only": view.singleton,
        "Feast computes it when written, at another time than in training": view.write_to_online_store,
        "it aggregates: Feast computes that online only, and drops the result": bool(view.aggregations),
        f"its mode is {view.mode!r}: values pass through pandas, which has no nulls": view.mode != "python",
    }
    for reason, holds in kinds.items():
        if holds:
            raise UsageError(
                f"on-demand view {view.name}, on Feast's own stores, does not give the same values in training and "
                f"serving: {reason}. {_REMEDY} Or leave out `on_demand: strict` in feature_store.yaml."
            )
