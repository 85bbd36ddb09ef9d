"""`python -m validation.quality.row_runner FOLDER`: expectations on a drop's rows, in a process that can be stopped.

FOLDER holds `job.json` and `rows.parquet`; `result.json`, or `error.txt`, is written into it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from transformations.engine.base.errors import FeaturesError
from transformations.engine.base.settings import get_settings
from validation.quality.great_expectations_run import validate_frame

JOB, ROWS, RESULT, ERROR = "job.json", "rows.parquet", "result.json", "error.txt"


def run(folder: Path) -> None:
    """Validate the job's suite on its rows, by pandas or by Spark."""
    job = json.loads((folder / JOB).read_text())
    try:
        frame = _spark_frame(folder / ROWS) if job["spark"] else _pandas_frame(folder / ROWS)
        result = validate_frame(frame, job["suite"], is_spark=job["spark"])
    except FeaturesError as error:
        (folder / ERROR).write_text(error.message)
        return
    (folder / RESULT).write_text(json.dumps(result, default=_plain))


def _plain(value: Any) -> Any:
    """A scalar or array of NumPy, which some results hold, as Python's own; the text of anything else."""
    return value.tolist() if hasattr(value, "tolist") else str(value)


def _pandas_frame(file: Path) -> Any:
    """The rows with NumPy's dtypes, and pandas' own for integers and booleans with nulls, which NumPy has not."""
    import pandas as pd

    table = pq.read_table(file, partitioning=None)
    nullable = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
    columns = {
        name: table[name].to_pandas(types_mapper=nullable.get if table[name].null_count else None)
        for name in table.column_names
    }
    return pd.DataFrame(columns)


def _spark_frame(file: Path) -> Any:
    from transformations.engine.compute.spark import spark_session

    return spark_session(get_settings()).read.parquet(str(file)).cache()


if __name__ == "__main__":
    run(Path(sys.argv[1]))
