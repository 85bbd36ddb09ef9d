"""Where a dataset's rows come from: a query over tables at their versions, or a file, which is copied."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv
import pyarrow.parquet as pq

from transformations.contracts import CsvDialect, read_contract
from transformations.datasets.config import DatasetConfig
from transformations.datasets.manifest import Manifest, PinnedFile
from transformations.datasets.splits import KnownLabel
from transformations.engine.base import duck, storage
from transformations.engine.base.business_days import start_of_day
from transformations.engine.base.errors import DataError, UsageError
from transformations.engine.base.settings import Settings
from transformations.engine.raw.zone import RawTable
from transformations.stores.history.session_sql import Resources
from transformations.stores.training.spine_sql import RAW, Query, read_query
from validation.files.csv_files import open_csv

Source: TypeAlias = Query | Path
"""Where a spine's rows come from: its query, or its file."""
Pins: TypeAlias = Mapping[tuple[str, str], int | None]

_SPINES = (".parquet", ".csv")
_EXACT_INTEGERS = 2**53
_BOOLEANS = (("true", "false"), ("True", "False"), ("TRUE", "FALSE"))


class QueryError(UsageError):
    """The query of a dataset's configuration cannot be run. It does not know the configuration's file."""


def source_of(config: DatasetConfig, folder: Path, pins: Pins = MappingProxyType({})) -> Source:
    """The spine's query, over the versions that are pinned and the newest of the rest; or its file below the folder."""
    if config.spine.query is not None:
        return _query_of(config.spine.query, pins)
    file = folder / str(config.spine.file)
    if file.suffix not in _SPINES:
        raise UsageError(f"spine.file: {file} is neither {' nor '.join(_SPINES)}. Give one of these, or a query.")
    if not file.is_file():
        raise UsageError(f"spine.file: there is no file {file}. Its path counts from the configuration's folder.")
    return file


def _query_of(text: str, pins: Pins) -> Query:
    try:
        query = read_query(text, {key: version for key, version in pins.items() if version is not None})
    except UsageError as error:
        raise QueryError(error.message) from error
    if query.volatile:
        raise QueryError(
            f"spine.query: {', '.join(query.volatile)} would give other rows the next time. Write moments as literals, "
            f"and sample with `sample` and `seed`."
        )
    return query


def rows_of(source: Source, resources: Resources) -> pa.Table:
    """The rows of a spine, without metadata."""
    if isinstance(source, Path):
        return read_spine(source).replace_schema_metadata(None)
    # One thread: floating-point sums then have one order, and so has what a query leaves unordered.
    return source.rows(replace(resources, threads=1)).replace_schema_metadata(None)


def read_spine(file: Path) -> pa.Table:
    """The rows of a spine's file. Of a CSV file each column is read as what its texts say, or stays text.

    Integers only where every cell comes back letter for letter (`007` stays text); only the empty cell is null.
    DataError for a file that cannot be read, and for whole numbers beside decimals that a Float64 does not hold.
    """
    if file.suffix != ".csv":
        return _read_parquet(file)
    read, texts = _read_csv(file)
    return pa.table(
        [_read_column(file, name, read[name], texts[name]) for name in read.column_names], read.column_names
    )


def _read_parquet(file: Path) -> pa.Table:
    """The rows; timestamps of 96 bits as microseconds, since their nanoseconds end in the year 2262."""
    try:
        return pq.ParquetFile(file, coerce_int96_timestamp_unit="us").read()
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{file.name} cannot be read as Parquet: {error}. Write the file anew.") from None


def _read_csv(file: Path) -> tuple[pa.Table, pa.Table]:
    """The rows as pyarrow types them, and as texts. What is no row is refused as in a delivered file."""
    with duck.session() as connection:
        found = open_csv(connection, file, CsvDialect())
        rows = connection.sql(f"FROM {found.relation()}").to_arrow_table()

    only_empty_is_null = {"null_values": [""], "strings_can_be_null": True}
    parsed = csv.ParseOptions(newlines_in_values=True)  # else a block of the file may end within a cell
    try:
        read = csv.read_csv(file, None, parsed, csv.ConvertOptions(**only_empty_is_null))
        if len(set(read.column_names)) < read.num_columns:
            raise DataError(
                f"{file.name}: a column's name stands there twice: {', '.join(read.column_names)}. Keep one."
            )
        types = dict.fromkeys(read.column_names, pa.string())
        texts = csv.read_csv(file, None, parsed, csv.ConvertOptions(column_types=types, **only_empty_is_null))
    except pa.ArrowInvalid as error:
        raise DataError(f"{file.name} cannot be read as CSV: {error}. Mend the file, or give Parquet.") from None
    if not rows.rename_columns(texts.column_names).cast(texts.schema).equals(texts):
        raise DataError(f"{file.name}: two readers find different cells in it. Have it written anew, or give Parquet.")
    return read, texts


def _read_column(file: Path, name: str, read: pa.ChunkedArray, texts: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_boolean(read.type):  # 1 and 0, too, and any case
        spelled = set(texts.drop_null().to_pylist())
        return read if any(spelled <= set(pair) for pair in _BOOLEANS) else texts
    if pa.types.is_integer(read.type):
        return read if read.cast(pa.string()).equals(texts) else texts
    if pa.types.is_floating(read.type):
        if pc.any(pc.match_substring_regex(texts, r"^\+|^-?0\d")).as_py():  # +4917012345, 0123.5
            return texts
        whole = pc.match_substring_regex(texts, r"^[+-]?\d+(\.0*)?$|[eE]")
        beyond = pc.and_(whole, pc.greater_equal(pc.abs(read), float(_EXACT_INTEGERS)))
        found = pc.indices_nonzero(pc.fill_null(beyond, False)).to_pylist()
        if rows := [row for row in found if not _is_said_by(texts[row].as_py(), read[row].as_py())]:
            raise DataError(
                f"{file.name}: column {name!r} has {len(rows):,} whole numbers beside decimals that a Float64 may not "
                f"hold, first {texts[rows[0]].as_py()} in row {rows[0] + 1:,}. Give Parquet with the type meant."
            )
    return read


def _is_said_by(text: str, number: float) -> bool:
    """Whether a text with an exponent is the number as it is written by others, such as 1e23; not of plain digits."""
    return "e" in text.lower() and Decimal(text) == Decimal(repr(number))


def copy_file(file: Path, unfinished: Path) -> PinnedFile:
    """A copy of the spine's file in the dataset's folder."""
    copy = unfinished / "spine" / file.name
    storage.make_folder(copy.parent)
    shutil.copyfile(file, storage.make_file(copy))
    return PinnedFile(path=f"spine/{file.name}", size=copy.stat().st_size, sha256=storage.content_hash(copy))


def restore_file(manifest: Manifest, folder: Path, unfinished: Path) -> Path | None:
    """A copy of the spine's file that lies beside a manifest; DataError where it is another file."""
    pinned = manifest.spine_file
    if pinned is None:
        return None
    file = folder / pinned.path
    if not file.is_file() or storage.content_hash(file) != pinned.sha256:
        raise DataError(
            f"{file} is not the spine's file of dataset {manifest.name} (SHA-256 {pinned.sha256}). It belongs beside "
            f"the manifest."
        )
    copy = unfinished / pinned.path
    storage.make_folder(copy.parent)
    shutil.copyfile(file, storage.make_file(copy))
    return copy


def known_label(config: DatasetConfig, source: Source, settings: Settings) -> KnownLabel | None:
    """The label, and from when on it is unknown: where the first of the query's raw sources ends, or earlier if so
    configured. None for a dataset without a label.
    """
    if config.label is None:
        return None
    ends = []
    for table in source.tables if isinstance(source, Query) else ():
        if table.zone == RAW:
            contract = read_contract(table.name, settings.contracts)
            through = RawTable(contract, settings.raw_dir).snapshot(table.version).complete_through
            if through is None and contract.event_time is not None:
                raise DataError(
                    f"no day of {table.name} is complete, so of no row the label is known. Say how far it is: "
                    f"features ingest {table.name} --complete-through DAY"
                )
            if through is not None:
                ends.append(start_of_day(through + timedelta(days=1), contract.business_day_zone))
    if config.label.known_until is not None:
        ends.append(config.instant(config.label.known_until))
    if not ends:
        raise UsageError(
            "label.known_until is missing: the spine is no query of a raw source that has events, so nothing tells "
            "from when on labels are unknown. Give that moment."
        )
    return KnownLabel(config.label, min(ends))
