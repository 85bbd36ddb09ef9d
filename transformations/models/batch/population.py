"""Whose rows a batch scores: those of a day by the dataset's own query, every known entity, or the rows of a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from feast import FeatureStore

from transformations.contracts import contract_names, read_contract
from transformations.datasets.content.content_hash import content_hash
from transformations.datasets.manifest import Manifest
from transformations.datasets.registration import join_keys
from transformations.datasets.spines import read_spine, rows_of, source_of
from transformations.engine.base.business_days import day_of_number, days_of_instants, start_of_day
from transformations.engine.base.errors import DataError, UsageError
from transformations.engine.base.moments import EVENT_TIMESTAMP, moment_text
from transformations.engine.base.settings import Settings
from transformations.models.batch.population_sql import keys_until
from transformations.models.evaluation.metrics import Integers
from transformations.models.records.batches import Population
from transformations.stores.history.session_sql import resources_of, session
from transformations.stores.history.stored import Stored
from transformations.stores.training.spine import spine_of

_SHOWN_DAYS = 3


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Rows to be scored together: keys, request fields and a moment each.

    as_of: the start of the business day `day`, or the last moment of a file's rows. spine: that file's content hash.
    """

    kind: Population
    table: pa.Table
    timestamp: str
    as_of: datetime
    day: date | None = None
    spine: str | None = None


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The rows that a dataset's query gives today, of every day at once. zone: of the business days."""

    table: pa.Table
    timestamp: str
    zone: str

    def of_day(self, day: date) -> Rows | None:
        """The rows of a business day; None where there are none."""
        places = self._places.get(day)
        if places is None:
            return None
        rows = self.table.take(pa.array(places))
        return Rows(kind="declared", table=rows, timestamp=self.timestamp, as_of=start_of_day(day, self.zone), day=day)

    def nearest_days(self, day: date) -> list[date]:
        """The days next to this one that have rows, at most three, in their order."""
        return sorted(sorted(self._places, key=lambda each: abs(each - day))[:_SHOWN_DAYS])

    @cached_property
    def _places(self) -> dict[date, Integers]:
        """The places of each business day's rows."""
        moments = spine_of(self.table.select([self.timestamp])).moments.cast(pa.int64()).to_numpy()
        days = days_of_instants(moments, self.zone)
        return {day_of_number(int(each)): np.flatnonzero(days == each) for each in np.unique(days)}


def ask(manifest: Manifest, store: FeatureStore, settings: Settings) -> Asked | None:
    """Ask a dataset's query again over the newest tables, label left out. None for a dataset of a spine's file."""
    if manifest.config.spine.query is None:
        return None
    source = source_of(manifest.config, Path())
    table = rows_of(source, resources_of(store.config))
    label = manifest.config.label
    if label is not None and label.column in table.column_names:
        table = table.drop_columns(label.column)
    return Asked(table=table, timestamp=manifest.timestamp, zone=day_zone(manifest, settings))


def nobody_on(day: date, manifest: Manifest, asked: Asked) -> DataError:
    """What to say of a day for which the query gives nobody."""
    near = asked.nearest_days(day)
    days = f"The nearest days with rows are {', '.join(map(str, near))}" if near else "It gives no rows at all"
    return DataError(
        f"the query of dataset {manifest.name} gives nobody on {day} ({asked.zone}). {days}. Name one of these days, "
        f"ingest what is missing, or score all that the features know: --entities known."
    )


def known_entities(
    manifest: Manifest, stored: Sequence[Stored], day: date, request: Sequence[str], store: FeatureStore, zone: str
) -> Rows:
    """Every entity of which one of these views has a row when a business day begins, at that moment.

    request: the request fields that the model takes, which nobody knows of them. DataError where there is nobody.
    """
    if request:
        raise UsageError(
            f"the model takes {', '.join(request)} from the request, which no view knows. Give a file with the rows: "
            f"--spine FILE."
        )
    moment = start_of_day(day, zone)
    names = join_keys(manifest)
    with session(resources_of(store.config)) as connection:
        joins = [
            each.join(each.scan(connection), {key: each.spine_column(key) for key in each.keys})
            for each in stored
            if each.history.files and each.keys
        ]
        lacking = [each.relation for each in joins if {key.spine for key in each.keys} != {*names}]
        if lacking or not joins:
            raise UsageError(
                f"the model's views have different keys, so together they know no entities ({', '.join(names)}). Give "
                f"a file with the rows: --spine FILE."
            )
        found = connection.sql(keys_until(joins, names, moment)).to_arrow_table()
    if not found.num_rows:
        raise DataError(
            f"no view of the model has a row before {day} began ({moment_text(moment, zone)}), so there is nobody to "
            f"score. Choose a later day, or build earlier ones."
        )
    table = found.append_column(EVENT_TIMESTAMP, pa.repeat(pa.scalar(moment, pa.timestamp("us", "UTC")), len(found)))
    return Rows(kind="known", table=table, timestamp=EVENT_TIMESTAMP, as_of=moment, day=day)


def rows_of_file(file: Path) -> Rows:
    """The rows of a Parquet or CSV file with keys, request fields and a moment each."""
    if file.suffix not in (".parquet", ".csv"):
        raise UsageError(f"{file} is neither .parquet nor .csv. Give one of these.")
    table = read_spine(file).replace_schema_metadata(None)
    spine = spine_of(table)
    if not len(spine):
        raise DataError(f"{file} has no rows, so there is nobody to score.")
    as_of = pc.max(spine.moments).as_py()
    return Rows(kind="spine", table=table, timestamp=spine.timestamp, as_of=as_of, spine=content_hash(table))


def day_zone(manifest: Manifest, settings: Settings) -> str:
    """The zone of the business days of a dataset's raw sources, or of those behind its views; UTC where they differ."""
    sources = [table.name for table in manifest.spine_tables if table.zone == "raw"]
    if not sources:
        views = [view["spec"] for view in manifest.registry.get("feature_views", ())]
        sources = [name for view in views for name in view.get("tags", {}).get("sources", "").split(", ") if name]
    known = set(contract_names(settings.contracts))
    zones = {read_contract(name, settings.contracts).business_day_zone for name in sources if name in known}
    return zones.pop() if len(zones) == 1 else "UTC"
