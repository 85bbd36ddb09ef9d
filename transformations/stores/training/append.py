"""Appends rows to the files behind a feature view, for `push` and `write_to_offline_store`.

A Delta table gets a commit; a folder or pattern of Parquet files, one more file; a single file is replaced by a longer
one. Readers see all of the rows or none; with hive folders, each new file whole or not at all.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from feast import FeatureView
from feast.types import Array, Float32

from transformations.engine.base import storage
from transformations.engine.base.errors import DataError, UsageError
from transformations.engine.base.settings import Settings
from transformations.engine.base.words import plural
from transformations.stores.base.source_paths import path_of, stored_names
from transformations.stores.base.values import moments_of
from transformations.stores.base.views import DEFINITION_HASH
from transformations.stores.history.history import source_history
from transformations.stores.history.source_files import folder_columns, folder_name, locate

_ROUNDED = (([Float32], pa.float32()), ([Array(Float32)], pa.list_(pa.float32())))


def append(view: FeatureView, table: pa.Table, repo_path: Path | None, settings: Settings) -> None:
    """Append rows, with the view's column names, to the view's source, in the types of its files.

    UsageError for a table that builds write, whichever view names it: the next build would not know these rows. Also if
    the source's pattern would not match a new file. DataError if a column is missing, unknown, or holds a value that
    the files' type cannot hold. Where files hold float32, a feature declared Float32 is stored as the float32 nearest
    to what is given, as online.
    """
    source = view.batch_source
    if source is None:
        raise UsageError(f"feature view {view.name} has no batch source, so there is nothing to append to.")
    path = path_of(view.name, source, repo_path)
    ours = (settings.offline_dir, settings.raw_dir)
    if DEFINITION_HASH in view.tags or any(path.is_relative_to(folder) for folder in ours):
        raise UsageError(
            f"{view.name}: its table is written by `features build` alone, from what has been ingested; a build could "
            f"not know of rows that were pushed. Ingest the events (`features ingest`), or push to the online store "
            f"only (`to=PushMode.ONLINE`)."
        )
    stored = stored_names(source)
    rows = table.rename_columns([stored.get(name, name) for name in table.column_names])
    if storage.is_table(path):
        source_history(view.name, source, repo_path)  # refuses a table whose files are not its rows
        _commit_rows(view, path, rows)
    elif path.is_file():
        with storage.exclusive(path.with_name(f".{path.name}.lock"), str(path)):
            _append_to_file(path, _fit_to_files(view, rows, pq.read_schema(path)))
    else:
        source_history(view.name, source, repo_path)  # refuses a path that is no source
        _add_files(view, path, rows)


def _commit_rows(view: FeatureView, path: Path, rows: pa.Table) -> None:
    from deltalake import write_deltalake

    table = storage.open_table(path)
    write_deltalake(table, _fit_to_files(view, rows, pa.schema(table.schema().to_arrow())), mode="append")


def _append_to_file(path: Path, rows: pa.Table) -> None:
    """Replace the file by a copy with the rows appended, written a row group at a time."""
    unfinished = path.with_name(f".{path.name}-{uuid4().hex}{storage.UNFINISHED}")
    try:
        with pq.ParquetFile(path) as old, pq.ParquetWriter(unfinished, old.schema_arrow) as new:
            for group in range(old.num_row_groups):
                new.write_table(old.read_row_group(group))
            new.write_table(rows.cast(old.schema_arrow))
        shutil.copymode(path, unfinished)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _add_files(view: FeatureView, path: Path, rows: pa.Table) -> None:
    file_name = f"appended-{uuid4().hex}.parquet"
    if not path.is_dir() and not fnmatch(file_name, path.name):
        raise UsageError(
            f"{view.name}: its files are those that match {path}, and an appended one, {file_name}, would not. Append "
            f"to the source by its own means, or let its path end with *.parquet."
        )
    found = locate(view.name, path)
    last = Path(found.files[-1])
    schema = pq.read_schema(last)
    partitions = [key for key in folder_columns(found, {}) if key not in schema.names]
    folder = last.parents[len(partitions)]
    for values, part in _split_by_folder(view.name, rows, partitions):
        target = folder.joinpath(*(folder_name(key, value) for key, value in values.items()))
        target.mkdir(parents=True, exist_ok=True)
        unfinished = target / f".{file_name}{storage.UNFINISHED}"
        pq.write_table(_fit_to_files(view, part, schema), storage.make_file(unfinished))
        shutil.copymode(last, unfinished)  # whoever reads the files beside it may read this one
        unfinished.replace(target / file_name)


def _split_by_folder(name: str, rows: pa.Table, keys: Sequence[str]) -> Iterator[tuple[dict[str, object], pa.Table]]:
    """The rows of each hive folder, without the columns in the folder's name."""
    if not keys:
        yield {}, rows
        return
    if missing := [key for key in keys if key not in rows.column_names]:
        raise DataError(f"{name}: the rows lack {', '.join(missing)}, by which its files lie in folders.")
    for values in rows.select(list(keys)).group_by(list(keys)).aggregate([]).to_pylist():
        mask = pa.array([True] * rows.num_rows)
        for key, value in values.items():
            mask = pc.and_(mask, pc.is_null(rows[key]) if value is None else pc.equal(rows[key], value))
        yield values, rows.filter(mask).drop_columns(list(keys))


def _fit_to_files(view: FeatureView, rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """The rows with the files' columns in the files' order and types; DataError where that cannot be."""
    given, wanted = set(rows.column_names), set(schema.names)
    if given != wanted:
        lacks, extra = (", ".join(sorted(names)) or "nothing" for names in (wanted - given, given - wanted))
        raise DataError(
            f"{view.name}: the rows to append lack {lacks} and have {extra} beyond the columns of its files."
        )
    columns = [_convert_column(view, field.name, rows[field.name], field.type) for field in schema]
    return pa.table(columns, schema=schema)


def _convert_column(view: FeatureView, name: str, column: pa.ChunkedArray, stored: pa.DataType) -> pa.ChunkedArray:
    """A column in the type that the files hold; DataError for values that it cannot hold.

    Arrow refuses most of them itself, but rounds a float to fewer digits: what comes back from the stored value has to
    be the value that was given, unless the view declares those digits.
    """
    if pa.types.is_timestamp(stored) and _is_text(column.type):  # JSON has no timestamps
        column = pa.chunked_array([moments_of(column, f"{view.name}: column {name!r} of the rows to append")])
    try:
        found = column.cast(stored)
        lost = _lost_rows(_round_as_declared(view, name, column, found), found)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataError(
            f"{view.name}: column {name!r} of the rows to append is {column.type}, the files hold {stored}: {error}. "
            f"Convert it first."
        ) from error
    if lost:
        raise DataError(
            f"{view.name}: column {name!r} has {plural(len(lost), 'value')} in {plural(len(column), 'row')} to append "
            f"that {stored}, which the files hold, does not: row {lost[0]} has {column[lost[0]].as_py()}, which would "
            f"become {found[lost[0]].as_py()}. Round it first, or write the files with a wider type."
        )
    return found


def _round_as_declared(view: FeatureView, name: str, given: pa.ChunkedArray, found: pa.ChunkedArray) -> pa.ChunkedArray:
    """What the values are by the view's declaration: a feature declared Float32 has no more digits than that.

    Numbers beyond its range have been refused before, on the way to either store.
    """
    mapping = view.batch_source.field_mapping if view.batch_source else {}
    dtypes = [field.dtype for field in view.schema if field.name == mapping.get(name, name)]
    return found if (dtypes, found.type) in _ROUNDED else given


def _lost_rows(given: pa.ChunkedArray, found: pa.ChunkedArray) -> list[int]:
    """The rows whose value does not come back from the type it was cast to."""
    types = pa.types
    if types.is_list(given.type) or types.is_large_list(given.type):
        parents = pc.list_parent_indices(given)
        lost = _lost_rows(pc.list_flatten(given), pc.list_flatten(found))
        return sorted({parents[element].as_py() for element in lost})
    if types.is_nested(given.type):
        pairs = zip(given.to_pylist(maps_as_pydicts="lossy"), found.to_pylist(maps_as_pydicts="lossy"), strict=True)
        return [row for row, (value, kept) in enumerate(pairs) if not _is_kept(value, kept)]
    # Arrow refuses a text with more digits than a decimal has; 3.5 for 3.50 is the same number.
    if types.is_null(given.type) or (_is_text(given.type) and types.is_decimal(found.type)):
        return []
    # Of a decimal, Arrow's own cast does not give the nearest float.
    exact = found.cast(pa.string()) if types.is_decimal(found.type) and types.is_floating(given.type) else found
    is_other = pc.not_equal(exact.cast(given.type), given)
    rows: list[int] = pc.indices_nonzero(pc.and_kleene(is_other, pc.equal(given, given))).to_pylist()  # NaN is no other
    return rows


def _is_kept(given: object, found: object) -> bool:
    """Whether a value with fields or keys is there in what it was stored as, which may have further ones, null."""
    if isinstance(given, dict):
        return isinstance(found, dict) and all(_is_kept(value, found.get(key)) for key, value in given.items())
    if isinstance(given, list):
        return isinstance(found, list) and len(given) == len(found) and all(map(_is_kept, given, found))
    return given == found or (given != given and found != found)  # NaN


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
