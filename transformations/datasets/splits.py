"""Which rows of a spine belong to which split, and why the others belong to none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transformations.datasets.config import SCORING, SPLITS, DatasetConfig, LabelConfig
from transformations.datasets.content.content_hash import row_hashes
from transformations.engine.base.errors import DataError, UsageError
from transformations.engine.base.moments import MICROSECOND, instant_to_micros
from transformations.engine.base.words import plural
from transformations.stores.training.spine import Spine

Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_FOREVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Selection:
    """The rows of a dataset in its order, as places in the spine, split after split.

    rows: by split. dropped: how many rows of the spine were left out, by reason; each row counts once.
    """

    rows: Mapping[str, Int64s]
    dropped: Mapping[str, int]

    @property
    def order(self) -> Int64s:
        """All rows, split after split."""
        return np.concatenate(list(self.rows.values()))


@dataclass(frozen=True)
class KnownLabel:
    """A dataset's label, and the moment from which labels are unknown."""

    config: LabelConfig
    known_until: datetime


def select(spine: Spine, config: DatasetConfig, label: KnownLabel | None) -> Selection:
    """The rows of each split. A row at t is of the split that t lies in, if its label's window [t, t + horizon) ends
    within that split and within the data; at the very boundary is within. Without a label every row of a split stays.

    Within a split rows stand in the order of a hash of their values and the seed: shuffled, and always alike, in
    whatever order the spine gave them. DataError where a split has no row.
    """
    moments: Int64s = np.asarray(spine.moments.cast(pa.int64()).to_numpy(zero_copy_only=False), dtype=np.int64)
    names, bounds = _split_bounds(config)
    place = np.searchsorted(bounds[:-1], moments, side="right") - 1
    columns = spine.to_arrow()
    reasons: dict[str, Bools] = {"outside the splits": (place < 0) | (moments >= bounds[-1])}
    identified = columns
    if label is not None:
        _require_label(label.config, columns)
        identified = columns.drop_columns(label.config.column)
        reached = moments + label.config.horizon // MICROSECOND
        reasons |= {
            "without a label": ~np.asarray(pc.is_valid(columns[label.config.column]).to_numpy(), dtype=np.bool_),
            "label crosses a split boundary": reached > bounds[np.clip(place, 0, None) + 1],
            "label passes the data's end": reached > instant_to_micros(label.known_until),
        }
    identity = row_hashes(identified, config.seed)
    if config.sample is not None:
        reasons["not in the sample"] = (identity >> np.uint64(11)) >= np.uint64(config.sample * 2**53)
    kept = np.ones(len(moments), dtype=np.bool_)
    dropped: dict[str, int] = {}
    for reason, applies in reasons.items():
        dropped[reason] = int((kept & applies).sum())
        kept &= ~applies
    tie = row_hashes(columns, config.seed)
    order = np.lexsort((tie, identity))
    rows = {name: order[kept[order] & (place[order] == index)] for index, name in enumerate(names)}
    _refuse_empty(rows, dropped, len(moments))
    return Selection(rows, dropped)


def _split_bounds(config: DatasetConfig) -> tuple[list[str], Int64s]:
    """The names of the splits, and where each begins, with the end of the last one at last."""
    split = config.split
    if split is None:
        return [SCORING], np.array([np.iinfo(np.int64).min, _FOREVER], dtype=np.int64)
    starts = {name: moment for name in SPLITS if (moment := getattr(split, name)) is not None}
    end = _FOREVER if split.end is None else instant_to_micros(split.instant(split.end))
    bounds = [*(instant_to_micros(split.instant(moment)) for moment in starts.values()), end]
    return list(starts), np.array(bounds, dtype=np.int64)


def _require_label(label: LabelConfig, columns: pa.Table) -> None:
    if label.column not in columns.column_names:
        raise UsageError(
            f"the spine has no column {label.column!r}, the label. It has {', '.join(columns.column_names)}."
        )


def _refuse_empty(rows: Mapping[str, Int64s], dropped: Mapping[str, int], total: int) -> None:
    for name, places in rows.items():
        if not len(places):
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in dropped.items() if count) or "none dropped"
            raise DataError(
                f"split {name!r} has no row: the spine has {plural(total, 'row')} ({reasons}). Move the split's "
                f"date, shorten the label's horizon, or ingest later data."
            )
