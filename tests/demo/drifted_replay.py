"""The demo's Mondays again, the last four with a drift and a frozen feature: `features monitor` has to name both.

The batches of a copy of the record are changed as broken jobs would have changed them: one feature's amounts are in
another unit, and of another one everybody has the value of the Monday before. Then the command is run as anybody runs
it, and its output read.

    features demo && features model predict household_lapse_2017 --from 2017-09-18 --to 2017-12-11 --version 1
    python tests/demo/drifted_replay.py
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from transformations.engine.base.settings import get_settings
from transformations.monitoring.reading.served import files_of

MODEL = "household_lapse_2017"
DRIFTS, FROZEN = "spend_sum_28d", "trips_count_28d"
FIRST, LAST = date(2017, 9, 18), date(2017, 12, 11)
BAD = date(2017, 11, 20)


def main() -> None:
    """Change the record, run the command, and hold what it says against what was done."""
    settings = get_settings()
    folders = [settings.predictions_dir, settings.monitoring_dir]
    kept = {folder: folder.with_name(f"{folder.name}.before-drift") for folder in folders if folder.is_dir()}
    for folder, copy in kept.items():
        shutil.copytree(folder, copy)
    try:
        spoil()
        program = str(Path(sys.executable).with_name("features"))
        command = [program, "monitor", MODEL, "--from", str(FIRST), "--to", str(LAST), "--json"]
        names = subprocess.run(command, check=False, capture_output=True, text=True)
        found = json.loads(names.stdout)[-1]
        alerts = {each["subject"]: each for each in found["findings"] if each["state"] == "alert"}
        for subject in (DRIFTS, FROZEN):
            each = alerts[subject]
            print(f"{subject} of {MODEL}: {each['measure']}, since {each['first_bad']}, {each['owner']}")
        print(names.stderr)
        is_right = names.returncode == 3 and all(alerts[each]["first_bad"] == str(BAD) for each in (DRIFTS, FROZEN))
    finally:
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
        for folder, copy in kept.items():
            copy.rename(folder)
    sys.exit(0 if is_right else 1)


def spoil() -> None:
    """Four Mondays of another unit, and of values that stay."""
    day = BAD
    (before,) = files_of(MODEL, 1, BAD - timedelta(days=7), get_settings())
    rows = pq.read_table(before, partitioning=None)
    keys = rows["keys"].combine_chunks().field(0).to_pylist()
    frozen = dict(zip(keys, values_of(rows, FROZEN).to_pylist(), strict=True))
    while day <= LAST:
        (file,) = files_of(MODEL, 1, day, get_settings())
        rows = pq.read_table(file, partitioning=None)
        keys = rows["keys"].combine_chunks().field(0).to_pylist()
        spends = values_of(rows, DRIFTS)
        euros = pa.array(np.asarray(spends.to_numpy(zero_copy_only=False)) * 1.8, from_pandas=True)
        trips = values_of(rows, FROZEN)
        stay = [frozen.get(key, value) for key, value in zip(keys, trips.to_pylist(), strict=True)]
        write(file, with_values(with_values(rows, DRIFTS, euros), FROZEN, pa.array(stay, trips.type)))
        day += timedelta(days=7)


def values_of(rows: pa.Table, name: str) -> pa.Array:
    """The values of a feature as they were served."""
    return rows["features"].combine_chunks().field(name).field("value")


def with_values(rows: pa.Table, name: str, values: pa.Array) -> pa.Table:
    """The rows with other values of a feature."""
    features = rows["features"].combine_chunks()
    parts = {field.name: features.field(field.name) for field in features.type}
    old = parts[name]
    parts[name] = pa.StructArray.from_arrays(
        [values, old.field("status"), old.field("row_timestamp")], ["value", "status", "row_timestamp"]
    )
    place = rows.column_names.index("features")
    return rows.set_column(place, "features", pa.StructArray.from_arrays(list(parts.values()), list(parts)))


def write(file: Path, rows: pa.Table) -> None:
    """Write a batch's file anew."""
    pq.write_table(rows, file, compression="zstd")


if __name__ == "__main__":
    main()
