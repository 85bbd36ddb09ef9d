"""What a table's columns are, compared with the contract before any row is read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from transformations.contracts import Contract
from transformations.contracts.model import TableServer
from transformations.engine.base import duck
from transformations.engine.base.duck import identifier
from transformations.engine.base.errors import DataError
from validation.files.parquet_files import parquet_columns
from validation.pulls.watermarks import Mark
from validation.readings.conversions import accepted_types, conversion


@dataclass(frozen=True)
class NewRows:
    """What was written of a table: how many rows, the greatest watermark among them, and what to note."""

    rows: int
    mark: Mark | None
    notes: tuple[str, ...] = ()


def refuse_other_types(contract: Contract, server: TableServer, empty: Path) -> None:
    """DataError that names every column whose type the contract does not take.

    empty: a Parquet file with the table's columns and no row, so that types are judged as those of a delivered file.
    """
    with duck.session() as connection:
        names, types = parquet_columns(connection, empty)
    delivered = dict(zip(names, types, strict=True))
    faults = []
    for column in contract.columns:
        kind = delivered[column.in_file]
        if conversion(identifier(column.name), kind, column.dtype, (), column.format) is None:
            faults.append(
                f"column {column.in_file!r} of table {server.table} is {kind}, the contract says {column.dtype}: it "
                f"takes {accepted_types(column.dtype, kind)}"
            )
    if faults:
        raise DataError(
            f"{contract.file_name}: {'; '.join(faults)}. No row was read. Cast it in a view and name the view in "
            f"physicalName, or change the contract in a new version."
        )
