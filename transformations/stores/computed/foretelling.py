"""Tells at `feast apply` which views a later request would be refused for, whatever it asks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from feast.repo_contents import RepoContents

from transformations.engine.base.errors import FeaturesError
from transformations.stores.base.source_paths import event_source, path_of
from transformations.stores.computed.evaluation import evaluation_of
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
    for computed in declared.on_demand_feature_views:
        if is_wired(computed):  # checked as it was declared
            continue
        try:
            evaluation_of(computed, is_strict=is_strict)
        except FeaturesError as error:
            yield f"{error} Until then, requests for it are refused."
