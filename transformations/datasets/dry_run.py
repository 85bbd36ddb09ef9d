"""What making a dataset would give: its rows, labels and pins, without features and without writing anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from feast import FeatureStore

from transformations.datasets import snapshot
from transformations.datasets.config import DatasetConfig
from transformations.datasets.create import refuse_collisions
from transformations.datasets.manifest import PinnedTable
from transformations.datasets.pinning import pin_query, pin_views
from transformations.datasets.spines import data_end_of, file_of, query_of, read_spine
from transformations.datasets.splits import select
from transformations.datasets.statistics import statistics_of
from transformations.engine.base.disk_faults import faults_in_words
from transformations.engine.base.settings import Settings
from transformations.stores.training.retrieval import resources_of
from transformations.stores.training.spine import spine_of


@dataclass(frozen=True, kw_only=True)
class PlannedSplit:
    """A split's rows, the moments of its first and last, and what its labels are (see `statistics_of`)."""

    name: str
    rows: int
    first: datetime
    last: datetime
    label: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Planned:
    """What a dataset would be. counts: as in a manifest. is_there: whether there is one of that name."""

    name: str
    config: DatasetConfig
    splits: tuple[PlannedSplit, ...]
    counts: Mapping[str, int]
    data_end: datetime | None
    views: tuple[PinnedTable, ...]
    spine_tables: tuple[PinnedTable, ...]
    is_there: bool


@faults_in_words()
def plan(config: DatasetConfig, folder: Path, store: FeatureStore, settings: Settings) -> Planned:
    """What `create` would make now; its errors, but for those of the retrieval, which is not tried."""
    taken = snapshot.take(store, config.feature_service, settings)
    refuse_collisions(config, store)
    query = query_of(config, {})
    with snapshot.opened(taken, store.config, {}) as known:
        views = pin_views(known, settings)
    if query is not None:
        rows = query.rows(replace(resources_of(store.config), threads=1))
    else:
        file = file_of(config, folder)
        assert file is not None, "a spine is a query or a file"
        rows = read_spine(file)
    spine = spine_of(rows.replace_schema_metadata(None))
    data_end = data_end_of(config, query, settings)
    selection = select(spine, config, data_end)
    splits = []
    for name, places in selection.rows.items():
        bounds = pc.min_max(spine.moments.take(pa.array(places))).as_py()
        label = {} if config.label is None else statistics_of(spine.to_arrow()[config.label.column].take(places))
        splits.append(PlannedSplit(name=name, rows=len(places), first=bounds["min"], last=bounds["max"], label=label))
    return Planned(
        name=config.name,
        config=config,
        splits=tuple(splits),
        counts={"spine": len(spine), **selection.dropped},
        data_end=data_end,
        views=views,
        spine_tables=pin_query(query, settings) if query else (),
        is_there=(settings.datasets_dir / config.name).exists(),
    )
