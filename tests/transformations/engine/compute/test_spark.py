"""What Spark reads is what it was given."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transformations.engine.base.settings import Settings
from transformations.engine.compute.spark import parquet_rows, spark_session


@pytest.mark.parametrize("name", ["a[1]", "x{1,2}", "st*r", "q?", "page=home", "we ird%20y"])
def test_a_file_is_read_literally_whatever_its_folder_is_called(
    spark_settings: Settings, tmp_path: Path, name: str
) -> None:
    for folder in (name, "a1", "x1", "x2", "star", "qq", "we ird y"):
        (tmp_path / folder).mkdir()
        pq.write_table(pa.table({"page": [folder]}), tmp_path / folder / "part.parquet")
    rows = parquet_rows(spark_session(spark_settings), "`page` string", [str(tmp_path / name / "part.parquet")])
    assert [row.page for row in rows.collect()] == [name]
