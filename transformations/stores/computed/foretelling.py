"""Tells at `feast apply` which views a later request would be refused for, whatever it asks."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from feast import OnDemandFeatureView
from feast.repo_contents import RepoContents

from transformations.engine.base.errors import DefinitionError, FeaturesError
from transformations.stores.base.feast_seams import unsampled_inputs
from transformations.stores.base.source_paths import event_source, path_of
from transformations.stores.computed.evaluation import evaluation_of
from transformations.stores.computed.feast_functions import input_names
from transformations.stores.computed.function_code import explain_unknown_input
from transformations.stores.computed.wiring import is_wired


def later_refusals(declared: RepoContents, repository: Path, *, is_strict: bool) -> Iterator[str]:
    """Why requests for views of a repository would be refused, a sentence each. is_strict: as `evaluate`."""
    for view in (*declared.feature_views, *declared.stream_feature_views):
        if view.batch_source is None:  # which is filled by pushes alone
            continue
        try:
            path_of(view.name, event_source(view), repository)
        except FeaturesError as error:
            yield f"{error} Until then, training and loads of view {view.name} are refused."
    offline = {view.name for view in declared.feature_views if not view.online}
    for computed in declared.on_demand_feature_views:
        yield from (f"{why} Until then, lookups of it are refused." for why in never_loaded(computed, offline))
        if is_wired(computed):  # checked as it was declared
            continue
        try:
            evaluation_of(computed, is_strict=is_strict)
        except FeaturesError as error:
            yield f"{error} Until then, requests for it are refused."


def never_loaded(view: OnDemandFeatureView, offline: Collection[str]) -> Iterator[str]:
    """The source views of an on-demand view that are not loaded, a sentence each. offline: those with online=False."""
    for source in dict.fromkeys(each.name for each in view.source_feature_view_projections.values()):
        if source in offline:
            yield (
                f"on-demand view {view.name} reads feature view {source}, which has online=False, so that nothing is "
                f"loaded for it. Declare online=True, or push rows to it; training needs neither."
            )


def explain_failed_function(view: OnDemandFeatureView, error: Exception) -> None:
    """DefinitionError for a view whose function, or Feast itself, fails on the samples that `feast apply` takes."""
    known, function = input_names(view), getattr(view.feature_transformation, "udf", None)
    unknown = explain_unknown_input(view.name, function, str(error), known) if isinstance(error, KeyError) else None
    explained = DefinitionError(
        unknown
        or _explain_unsampled(view, error, function)
        or f"on-demand view {view.name}: `feast apply` calls its function once, with a sample of each input "
        f"({', '.join(known)}), {'on which it fails' if _is_within(function, error) else 'and fails on its result'}: "
        f"{type(error).__name__}: {error}. Let it hold for any values of the declared dtypes."
    )
    raise explained.with_traceback(error.__traceback__) from error  # which tells the line of the author's file


def _explain_unsampled(view: OnDemandFeatureView, error: Exception, function: object) -> str | None:
    """Why Feast fails by itself: it looks for a dtype of inputs, too, and has None for those of some dtypes."""
    unsampled = unsampled_inputs(view)
    if not unsampled or _is_within(function, error):
        return None
    further = "give the view a further input that has one"
    if view.mode != "pandas":
        further = 'write it in mode="pandas", with at least one input that has one'
    return (
        f"on-demand view {view.name}: its function did not fail, but `feast apply` does, whatever the function is: "
        f"Feast has no sample of inputs of some dtypes ({', '.join(unsampled)}), and cannot go on without one "
        f"({type(error).__name__}: {error}). Declare them in another dtype (JSON is text: String), or {further}."
    )


def _is_within(function: object, error: Exception) -> bool:
    """Whether an error was raised in a function, or in what it called; True where nobody can tell."""
    code, step = getattr(function, "__code__", None), error.__traceback__
    while code is not None and step is not None:
        if step.tb_frame.f_code is code:
            return True
        step = step.tb_next
    return code is None
