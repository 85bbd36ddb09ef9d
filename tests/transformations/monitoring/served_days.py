"""Days of recorded predictions, written as the model server's collector leaves them, and a baseline by hand."""

from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq

from transformations.engine.base.settings import get_settings
from transformations.models.records.base import Role
from transformations.models.records.prediction_table import FeatureColumn, Said, prediction_table
from transformations.models.records.predictions import ServedView
from transformations.models.records.reference import Categories, Histogram
from transformations.monitoring.reading.records import Baseline, Compared

DAY = date(2024, 5, 6)
NOON = datetime(2024, 5, 6, 12, tzinfo=UTC)
SHA = "a" * 64


def baseline(facts: dict[str, object] | None = None, **inputs: Compared) -> Baseline:
    """A baseline of version 1 of model m with these inputs. facts: of it, such as limits."""
    made = Baseline(
        model="m", version=1, artifact=SHA, dataset_hash=SHA, made_at=NOON, rows=1, days=1, inputs=inputs,
        scores=Histogram(edges=(0.25, 0.5), counts=(1, 1, 1), nulls=0), limits={}, score_limits={},
        changed=dict.fromkeys(inputs, 0.5), setting="",
    )  # fmt: skip
    return made.model_copy(update=facts or {})


def write(
    columns: dict[str, pa.Array], scores: list[float], *, day: date = DAY, role: Role = "production", hours: float = 1
) -> None:
    """A file of the collected record, as the model server's collector leaves it."""
    rows = len(scores)
    moment = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    said = Said(
        model="m", version=1, artifact=SHA, role=role, as_of=None,
        views={"seen": ServedView(table_version=1, loaded_through=moment - timedelta(hours=hours))},
    )  # fmt: skip
    table = prediction_table(
        said,
        ids=pa.array([f"{role}-{row}" for row in range(rows)]),
        moments=pa.repeat(pa.scalar(moment, pa.timestamp("us", "UTC")), rows),
        keys={"user_id": pa.array(range(rows))},
        request={},
        features={
            name: FeatureColumn(
                values=values, statuses=pa.repeat("PRESENT", rows),
                row_timestamps=pa.nulls(rows, pa.timestamp("us", "UTC")),
            )
            for name, values in columns.items()
        },
        scores=pa.array(scores),
        decisions=pa.array([score >= 0.5 for score in scores]),
    )  # fmt: skip
    file = get_settings().predictions_dir / "m" / "served" / f"day={day}" / "v1.parquet"
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.exists():
        table = pa.concat_tables([pq.read_table(file, partitioning=None), table])
    pq.write_table(table, file)


def compared(bins: Histogram | Categories, **facts: object) -> Compared:
    """An input that is compared as it is, unless `facts` say otherwise."""
    return Compared.model_validate({"way": "as is", "bins": bins, **facts})
