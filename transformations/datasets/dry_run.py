"""What making a dataset would give: its rows, labels and pins, without features and without writing anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from feast import FeatureStore

from transformations.datasets.config import DatasetConfig
from transformations.datasets.content.statistics import statistics_of
from transformations.datasets.create import refuse_collisions
from transformations.datasets.manifest import PinnedTable
from transformations.datasets.pinning import pin_query, pin_views
from transformations.datasets.snapshot import open_snapshot, take_snapshot
from transformations.datasets.spines import known_label, rows_of, source_of
from transformations.datasets.splits import select
from transformations.engine.base.disk_faults import faults_in_words
from transformations.engine.base.files.published import pull
from transformations.engine.base.settings import Settings
from transformations.stores.history.session_sql import resources_of
from transformations.stores.training.spine import spine_of
from transformations.stores.training.spine_sql import Query


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
    pull(settings.datasets_dir / config.name)
    taken = take_snapshot(store, config.feature_service, settings)
    refuse_collisions(config, store)
    source = source_of(config, folder)
    with open_snapshot(taken, store.config, {}) as pinned:
        views = pin_views(pinned, settings)
    spine = spine_of(rows_of(source, resources_of(store.config)))
    known = known_label(config, source, settings)
    selection = select(spine, config, known)
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
        data_end=known.known_until if known else None,
        views=views,
        spine_tables=pin_query(source, settings) if isinstance(source, Query) else (),
        is_there=(settings.datasets_dir / config.name).exists(),
    )
