"""What the tables held for the population of a day: every entity once, not the rows that a change wrote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

import numpy as np
import pyarrow as pa
from feast import FeatureStore

from transformations.datasets.manifest import Manifest
from transformations.engine.base.settings import Settings
from transformations.engine.vocabulary.columns import one_array
from transformations.models.batch.features import reading
from transformations.models.batch.population import Asked, ask, day_zone, known_entities
from transformations.models.scoring.artifact import Artifact
from transformations.models.scoring.inputs import cast_inputs
from transformations.monitoring.reading.baseline import as_compared, states_of
from transformations.monitoring.reading.records import SCORE, Baseline
from transformations.monitoring.statistics.draws import Integers
from transformations.monitoring.statistics.effects import Counts
from transformations.monitoring.statistics.layout import Layout


@dataclass(frozen=True, kw_only=True)
class StoredValues:
    """A day's population with what the tables held for it, counted on a baseline's bins; the scores are absent.

    is_declared: it is the population of the version's dataset, as its query gives it; else every entity that the views
    know, which the reference does not speak of. states: by column that tells a calendar's state, the state.
    """

    day: date
    rows: int
    counts: Counts
    is_declared: bool
    absent: tuple[str, ...] = (SCORE,)
    states: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Population:
    """The rows of a day's population with their features. is_declared: as the dataset's query gives it."""

    table: pa.Table
    moments: Integers
    is_declared: bool


@dataclass(frozen=True, kw_only=True)
class Populations:
    """What was read of the populations of datasets, so that versions of one dataset share it: by dataset what its query
    gave, and by dataset and inputs the last day that was read.
    """

    asked: dict[str, Asked | None] = field(default_factory=dict)
    read: dict[tuple[str, tuple[str, ...]], tuple[date, Population]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Snapshots:
    """Reads the tables for a version's population. known: what was read for other versions."""

    baseline: Baseline
    artifact: Artifact
    dataset: Manifest
    known: Populations
    store: FeatureStore
    settings: Settings

    def of_day(self, day: date) -> StoredValues:
        """The population of a business day as the tables have it now, each entity at its own moment of that day.

        DataError where a table is not complete that far, where a feature is defined otherwise than the version knew it,
        or where there is nobody; UsageError where nobody is declared for the day and the model takes request fields.
        """
        population = self._population(day)
        columns = cast_inputs(population.table, self.artifact.manifest.scores.inputs)
        layout = Layout({name: bins for name, bins in self.baseline.layout.features.items() if name != SCORE})
        values = {
            name: as_compared(columns[name], self.baseline.inputs[name], population.moments) for name in layout.names
        }
        counts = layout.count(layout.codes(values))
        told = [name for name in self.baseline.state_columns if name in population.table.column_names]
        nowhere = np.zeros(len(population.moments), dtype=np.int64)
        return StoredValues(
            day=day,
            rows=len(population.moments),
            counts=self.baseline.layout.row({name: layout.of(name, counts) for name in layout.names}),
            is_declared=population.is_declared,
            states={name: states_of(one_array(population.table[name]), nowhere)[0] for name in told},
        )

    def _population(self, day: date) -> Population:
        inputs, request = self.artifact.manifest.scores.inputs, _request_fields(self.artifact)
        key = self.dataset.name, tuple(column.name for column in inputs)
        known = self.known.read.get(key)
        if known is not None and known[0] == day:
            return known[1]
        zone = day_zone(self.dataset, self.settings)
        with reading(self.dataset, inputs, request, zone=zone, store=self.store, settings=self.settings) as reader:
            if self.dataset.name not in self.known.asked:
                self.known.asked[self.dataset.name] = ask(self.dataset, self.store, self.settings)
            asked = self.known.asked[self.dataset.name]
            declared = asked.of_day(day) if asked is not None else None
            rows = declared or known_entities(self.dataset, reader.stored(), day, reader.request, self.store, zone)
            table, said = reader.values(rows.table)
        micros = said.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
        moments = np.asarray(micros.to_numpy(zero_copy_only=False), dtype=np.int64)
        found = Population(table=table, moments=moments, is_declared=declared is not None)
        self.known.read[key] = day, found
        return found


def _request_fields(artifact: Artifact) -> tuple[str, ...]:
    declared = artifact.manifest.facts.declaration.get("request_fields")
    return tuple(str(name) for name in declared) if isinstance(declared, list) else ()
