"""Parity of an earlier lookup: its recorded answer against training from the tables that were online then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from feast import FeatureView, OnDemandFeatureView

from transformations.stores.redis.loaded import Loaded
from validation.parity.causes import Served
from validation.parity.live import report_on
from validation.parity.report import LiveReport
from validation.parity.sides import Installation, read_answer

if TYPE_CHECKING:
    from feast import FeatureStore


@dataclass(frozen=True, kw_only=True)
class RecordedLookup:
    """A recorded answer, when it was given, and what the views had been loaded from.

    rows: join keys and request fields, a row a request. answer: by full feature name (`view__feature`), an entry a row.
    """

    moment: datetime
    rows: pa.Table
    answer: Mapping[str, Sequence[Served]]
    loaded: Mapping[str, Loaded]


def record_lookup(response: Any, rows: pa.Table, moment: datetime, loaded: Mapping[str, Loaded]) -> RecordedLookup:
    """Keep the answer to a lookup of these rows, asked with `full_feature_names=True`."""
    return RecordedLookup(moment=moment, rows=rows, answer=read_answer(response), loaded=loaded)


def check_recorded(store: FeatureStore, lookup: RecordedLookup) -> LiveReport:
    """Compare the answer with what was promised then: the materialized versions at their END, and training from them.

    Rows that became available between END and the lookup are late: they are not promised before the next load. A view
    is left out that was not loaded then, was not asked for whole, or has another definition by now.
    """
    views: list[FeatureView | OnDemandFeatureView] = [
        *store.list_feature_views(),
        *store.list_on_demand_feature_views(),
    ]
    asked = [view for view in views if any(f"{view.name}__{each.name}" in lookup.answer for each in view.features)]
    installation = Installation(store, lookup.loaded, lookup.moment, answer=lookup.answer)
    return report_on(installation, asked, lookup.rows)
