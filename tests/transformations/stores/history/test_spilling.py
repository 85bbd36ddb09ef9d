"""Retrievals larger than their memory: what does not fit lies in the spill folder, and nothing stays there."""

from pathlib import Path

import pyarrow as pa
import pytest

from transformations.engine.base import duck
from transformations.stores.history.spilling import Spill, spill_of


def test_tables_beyond_the_budget_lie_in_a_file_that_is_gone_already(tmp_path: Path) -> None:
    spill = Spill(tmp_path / "spill", budget=1_000)
    small, large = pa.table({"n": list(range(100))}), pa.table({"n": list(range(100_000)), "text": ["é"] * 100_000})
    assert spill.keep(small) is small
    before = pa.total_allocated_bytes()
    kept = spill.keep(large)
    assert kept.equals(large)
    assert pa.total_allocated_bytes() - before < large.nbytes / 10
    assert list((tmp_path / "spill").iterdir()) == []


def test_a_second_table_counts_with_the_first(tmp_path: Path) -> None:
    table = pa.table({"n": list(range(100))})
    spill = Spill(tmp_path, budget=table.nbytes)
    assert spill.keep(table) is table
    assert spill.keep(table) is not table


@pytest.mark.parametrize("limit", ["512MB", "3GB", "100KB"])
def test_the_budget_is_a_share_of_what_duckdb_may_use(limit: str) -> None:
    with duck.session(memory_limit=limit) as connection:
        amount = float(limit[:-2]) * {"MB": 1e6, "GB": 1e9, "KB": 1e3}[limit[-2:]]
        assert spill_of(connection, 0.5).left == pytest.approx(amount / 2, rel=0.05)  # DuckDB tells one decimal
