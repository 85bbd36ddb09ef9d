"""The scores of published batches as a feature view: read in training like any feature, and online once loaded."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from feast import FeatureStore, FeatureView

from transformations.engine.base.disk_faults import faults_in_words
from transformations.engine.base.errors import UsageError
from transformations.engine.base.files.published import bring, replacing
from transformations.engine.base.moments import CREATED_TIMESTAMP, EVENT_TIMESTAMP
from transformations.engine.base.settings import Settings
from transformations.models.batch.opened import Batch
from transformations.models.batch.personal import is_hashed
from transformations.models.batch.publishing import predictions_of
from transformations.models.records.prediction_table import TIMESTAMP
from transformations.stores.scores import MODEL, SCORES


def score_view_of(model: str, store: FeatureStore) -> FeatureView:
    """The applied view of a model's scores; UsageError that says how to declare one."""
    for view in store.list_feature_views():
        if view.tags.get(MODEL) == model:
            return view
    raise UsageError(
        f"Feast knows no view of the scores of model {model}. Declare it in the feature repository and apply it:\n"
        f"  from transformations.stores.scores import score_view\n"
        f'  {model}_{SCORES} = score_view("{model}", entity=…, owner=…)'
    )


@faults_in_words()
def put_online(model: str, batches: Sequence[Batch], store: FeatureStore, settings: Settings) -> str:
    """Make the scores of these batches rows of the model's score view, and load them; the view's name.

    The same batches again change nothing. A score never replaces one of later features, so a backfill may come late.
    UsageError where no such view is applied; ServiceUnavailableError where the online store cannot be reached, which
    the next call makes good.
    """
    view = score_view_of(model, store)
    folder = settings.predictions_dir / model / SCORES
    first = None
    for batch in batches:
        rows = _scores(model, view, batch)
        _write_once(folder / f"{batch.folder.name}.parquet", rows)
        moment = pc.min(rows[EVENT_TIMESTAMP]).as_py()
        first = moment if first is None else min(first, moment)
    if first is not None:
        with redirect_stdout(sys.stderr):  # keep Feast from printing what it loads
            store.materialize(first, settings.now(), [view.name])
    return view.name


def _scores(model: str, view: FeatureView, batch: Batch) -> pa.Table:
    predictions = predictions_of(batch.folder)
    keys = predictions["keys"].combine_chunks()
    names = [field.name for field in keys.type]
    withheld = [key for key in view.join_keys if key not in names or is_hashed(keys.field(key)[0].as_py())]
    if withheld:
        raise UsageError(
            f"{batch.folder} does not say whose scores it holds: {', '.join(withheld)} is hashed or dropped in the "
            f"record of model {model}, as `recording` of its declaration says. Keep the key there, or leave --online "
            f"out."
        )
    return pa.table(
        {
            **{name: keys.field(name) for name in names},
            EVENT_TIMESTAMP: predictions["request_timestamp"],
            CREATED_TIMESTAMP: pa.repeat(pa.scalar(batch.manifest.made_at, TIMESTAMP), predictions.num_rows),
            f"{model}_score": predictions["score"],
            f"{model}_decision": predictions["decision"],
            f"{model}_version": predictions["version"],
        }
    )


def _write_once(file: Path, rows: pa.Table) -> None:
    """Write a file in its place at once, unless it is there."""
    if not bring(file).exists():
        with replacing(file) as draft:
            pq.write_table(rows, draft, compression="zstd")
