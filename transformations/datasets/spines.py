"""Where a dataset's rows come from: a query over tables at their versions, or a file, which is copied."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from transformations.contracts import CsvDialect, read_contract
from transformations.datasets.config import DatasetConfig
from transformations.datasets.manifest import Manifest, PinnedFile
from transformations.engine.base import duck, storage
from transformations.engine.base.business_days import start_of_day
from transformations.engine.base.errors import DataError, UsageError
from transformations.engine.base.settings import Settings
from transformations.engine.raw.zone import RawTable
from transformations.stores.training.spine_sql import RAW, Query, read_query
from validation.files.csv_files import open_csv

_SPINES = (".parquet", ".csv")
_EXACT_INTEGERS = 2**53
_BOOLEANS = (("true", "false"), ("True", "False"), ("TRUE", "FALSE"))


def query_of(config: DatasetConfig, pins: Mapping[tuple[str, str], int | None]) -> Query | None:
    """The spine's query over the versions that are pinned, over the newest of the rest; None where it is a file."""
    text = config.spine.query
    if text is None:
        return None
    query = read_query(text, {key: version for key, version in pins.items() if version is not None})
    if query.volatile:
        raise UsageError(
            f"spine.query: {', '.join(query.volatile)} would give other rows the next time. Write moments as literals, "
            f"and sample with `sample` and `seed`."
        )
    return query


def read_spine(file: Path) -> pa.Table:
    """The rows of a spine's file. Of a CSV file each column is read as what its texts say, or stays text.

    Integers only where every cell comes back letter for letter (`007` stays text); only the empty cell is null.
    DataError for a file that cannot be read, and for whole numbers beside decimals that a Float64 does not hold.
    """
    if file.suffix != ".csv":
        return _read_parquet(file)
    read, texts = _read_csv(file)
    return pa.table([_column(file, name, read[name], texts[name]) for name in read.column_names], read.column_names)


def _read_parquet(file: Path) -> pa.Table:
    """The rows; timestamps of 96 bits as microseconds, since their nanoseconds end in the year 2262."""
    try:
        return pq.ParquetFile(file, coerce_int96_timestamp_unit="us").read()
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{file.name} cannot be read as Parquet: {error}. Write the file anew.") from None


def _read_csv(file: Path) -> tuple[pa.Table, pa.Table]:
    """The rows as pyarrow types them, and as texts. What is no row is refused as in a delivered file."""
    from pyarrow import csv

    with duck.session() as connection:
        found = open_csv(connection, file, CsvDialect())
        rows = connection.sql(f"SELECT * FROM {found.relation()}").to_arrow_table()

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


def _column(file: Path, name: str, read: pa.ChunkedArray, texts: pa.ChunkedArray) -> pa.ChunkedArray:
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


def file_of(config: DatasetConfig, folder: Path) -> Path | None:
    """The spine's file; None where it is a query."""
    if config.spine.file is None:
        return None
    file = folder / config.spine.file
    if file.suffix not in _SPINES:
        raise UsageError(f"spine.file: {file} is neither {' nor '.join(_SPINES)}. Give one of these, or a query.")
    if not file.is_file():
        raise UsageError(f"spine.file: there is no file {file}. Its path counts from the configuration's folder.")
    return file


def copied(config: DatasetConfig, folder: Path, unfinished: Path) -> PinnedFile | None:
    """A copy of the spine's file in the dataset's folder."""
    file = file_of(config, folder)
    if file is None:
        return None
    copy = unfinished / "spine" / file.name
    storage.make_folder(copy.parent)
    shutil.copyfile(file, storage.make_file(copy))
    return PinnedFile(path=f"spine/{file.name}", size=copy.stat().st_size, sha256=storage.content_hash(copy))


def restored(manifest: Manifest, folder: Path, unfinished: Path) -> Path | None:
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


def data_end_of(config: DatasetConfig, query: Query | None, settings: Settings) -> datetime | None:
    """From when on labels are unknown: where the first of the query's raw sources ends, or earlier if so configured.

    None where there is no label.
    """
    if config.label is None:
        return None
    ends = []
    for table in query.tables if query else ():
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
    return min(ends)
