"""A delivery as DuckDB reads it, of one file or many: Parquet with its own types, CSV and JSON lines as text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from transformations.contracts import Contract, CsvDialect, FileForm
from transformations.engine.base.disk_faults import changed_file_read
from transformations.engine.base.duck import identifier
from transformations.engine.base.errors import DataError
from transformations.engine.base.words import plural
from validation.files.column_names import ROW, name_columns, names_without_header
from validation.files.csv_dialects import usual_dialect
from validation.files.csv_files import open_csv
from validation.files.file_kinds import is_csv, is_json_lines
from validation.files.files_sql import (
    cells,
    no_rows,
    parquet_relation,
    rows_item,
    rows_of_files,
    rows_with_folders,
    rows_without,
)
from validation.files.json_lines import open_json_lines
from validation.files.parcels import Parcel, ParcelFile, open_parcel
from validation.files.parquet_files import parquet_columns

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

TEXT_CELL = "text"  # the type of every CSV column, and of what the names of folders say
JSON_CELL = "json"  # the type of every column of JSON lines: a value's own JSON text

_FILE_STEP = 2**40
"""Rows of the second file of a delivery are numbered from here on, of the third from twice as many, and so on."""
_FAR_TIMESTAMP = "Could not convert Timestamp("  # the Parquet reader's own error, which no SQL can prevent


@dataclass(frozen=True, kw_only=True)
class DropFile:
    """A readable delivery, its columns under the contract's names; those that the contract does not know keep their
    own.

    types: by column, the type that the files store (DuckDB's name of it). notes: what was passed over in reading.
    """

    parcel: Parcel
    types: dict[str, str]
    relation: str
    cells: dict[str, str]  # by column, its name in the relation
    row_number: str
    names: dict[str, str]  # by column, its name in the file
    notes: tuple[str, ...] = ()
    excluded: str = ""  # a FROM item of the numbers of rows that are left out

    @property
    def name(self) -> str:
        """The delivery's name, as messages say it."""
        return self.parcel.name

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files, in the order in which their rows are numbered."""
        return tuple(file.path for file in self.parcel.files)

    def rows(self, columns: Iterable[str]) -> str:
        """A FROM item with these columns and ROW, the row's number from 1 (a CSV header is not counted).

        The number says which file a row is of, too: `place` tells it apart.
        """
        rows = rows_item(self.relation, {name: self.cells[name] for name in columns}, self.row_number)
        return rows_without(rows, self.excluded) if self.excluded else rows

    def without(self, rows: str) -> DropFile:
        """The delivery without the rows whose numbers a FROM item gives."""
        return replace(self, excluded=rows)

    def place(self, row: int) -> str:
        """Where a row stands, by its number: `1,017`, or of several files `1,017 of part-3.parquet`."""
        file, number = divmod(row, _FILE_STEP)
        return f"{number:,}" if len(self.parcel.files) == 1 else f"{number:,} of {self.parcel.files[file].name}"

    def row_of(self, file: int, number: int) -> int:
        """The number, in the delivery, of a row of one of its files."""
        return file * _FILE_STEP + number


def open_drop(
    connection: DuckDBPyConnection,
    paths: Path | Sequence[Path],
    contract: Contract | None = None,
    keys_only: bool = False,
    dialect: CsvDialect | None = None,
) -> DropFile:
    """The delivery at a path, or of several; UsageError for no file of a kind we read, DataError for a damaged one.

    The contract says how it is written; without one, a dialect may be given. keys_only: it holds keys to retract.
    """
    form = contract.form if contract else FileForm(csv=dialect)
    parcel = open_parcel(paths, form)
    expected = () if contract is None else contract.key if keys_only else contract.column_names
    opened = _Opening(connection=connection, parcel=parcel, form=form, contract=contract, expected=expected).open()
    if not parcel.passed_over:
        return opened
    names = plural(parcel.passed_over, "name")
    note = f"{names} in {parcel.name} that {'begins' if parcel.passed_over == 1 else 'begin'} with . or _ passed over"
    return replace(opened, notes=(*opened.notes, note))


@dataclass(frozen=True, kw_only=True)
class _Opened:
    """One kind of files, or one file: its columns (in the file), types, the FROM item whose columns are `c0`, `c1` …"""

    names: Sequence[str]
    types: Sequence[str]
    relation: str
    row: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _Opening:
    """The way from files to a relation: kind by kind, then columns under the contract's names."""

    connection: DuckDBPyConnection
    parcel: Parcel
    form: FileForm
    contract: Contract | None
    expected: Sequence[str]

    def open(self) -> DropFile:
        """Read all files as one."""
        kinds = {_kind(file.path): file for file in self.parcel.files}
        if len(kinds) > 1:
            listed = ", ".join(f"{file.name} is {kind}" for kind, file in kinds.items())
            raise DataError(f"{self.parcel.name} mixes kinds of files: {listed}. Deliver one kind.")
        (kind,) = kinds
        opened = {"Parquet": self._parquet, "CSV": self._csv, "JSON lines": self._json}[kind]()
        found = _with_folders(self.parcel, self.form, opened)
        names = name_columns(self.parcel.files[0].name, self.form, self.contract, found.names)
        kept = [
            (*each, kind, cell)
            for each, kind, cell in zip(names, found.types, cells(len(found.types)), strict=True)
            if each
        ]
        return DropFile(
            parcel=self.parcel,
            types={name: kind for name, _, kind, _ in kept},
            relation=found.relation,
            cells={name: cell for name, _, _, cell in kept},
            row_number=found.row,
            names={name: there for name, there, _, _ in kept},
            notes=found.notes,
        )

    def _parquet(self) -> _Opened:
        first, columns = self.parcel.files[0], []
        for file in self.parcel.files:
            with readable(file.name):
                columns.append(parquet_columns(self.connection, file.path))
        for file, (names, types) in zip(self.parcel.files[1:], columns[1:], strict=True):
            _refuse_other_columns(self.parcel, first, columns[0], file, (names, types))
        names, types = columns[0]
        paths = [file.path for file in self.parcel.files]
        relation = f"{parquet_relation(*paths)} AS {identifier('file')}({', '.join(cells(len(names)))})"
        return _Opened(names=names, types=types, relation=relation, row=_row_of_parquet(len(paths)))

    def _csv(self) -> _Opened:
        first, names = self.parcel.files[0], tuple[str, ...]()
        parts: list[tuple[str, str, str]] = []
        notes: list[str] = []
        for number, file in enumerate(self.parcel.files):
            opened = open_csv(self.connection, file.path, self.form.csv or usual_dialect(file.path), number)
            found = opened.header or names_without_header(file.name, opened.width, self.contract, self.expected)
            if number:
                _refuse_other_names(self.parcel, first, names, file, found)
            names = names or found
            notes += [_note_of_empty_lines(file.name, opened.empty_lines)] if opened.empty_lines else []
            # The cells of each file in the order of the first.
            chosen = ", ".join(f"c{found.index(name)} AS c{place}" for place, name in enumerate(names))
            row = f"{number * _FILE_STEP} + row_number() OVER ()" if number else "row_number() OVER ()"
            parts.append((opened.relation(self.form.null_tokens), chosen, row))
        if len(parts) == 1:
            ((relation, _, row),) = parts
        else:
            relation, row = rows_of_files(parts), ROW
        return _Opened(names=names, types=[TEXT_CELL] * len(names), relation=relation, row=row, notes=tuple(notes))

    def _json(self) -> _Opened:
        files = [open_json_lines(self.connection, file.path, number) for number, file in enumerate(self.parcel.files)]
        keys = tuple(dict.fromkeys(key for file in files for key in file.keys))
        paths = [file.write_values(self.connection, keys) for file in files]
        notes = [
            _note_of_empty_lines(file.name, opened.empty_lines)
            for file, opened in zip(self.parcel.files, files, strict=True)
            if opened.empty_lines
        ]
        relation = f"{parquet_relation(*paths)} AS {identifier('file')}({', '.join(cells(max(1, len(keys))))})"
        row = _row_of_parquet(len(paths))
        if not any(file.rows for file in files):  # no line has a key: every column exists and is empty
            keys = tuple(self.contract.column(name).in_file for name in self.expected) if self.contract else ()
            relation, row = no_rows(max(1, len(keys))), "0"
        return _Opened(names=keys, types=[JSON_CELL] * len(keys), relation=relation, row=row, notes=tuple(notes))


@contextmanager
def readable(name: str) -> Iterator[None]:
    """Raise a DataError that names the delivery where reading it within fails because it is damaged."""
    import duckdb

    our_faults = (duckdb.BinderException, duckdb.ParserException, duckdb.CatalogException, duckdb.ConversionException)
    try:
        yield
    except duckdb.Error as error:
        if isinstance(error, duckdb.ConversionException) and _FAR_TIMESTAMP in str(error):
            raise DataError(
                f"{name}: a column of seconds or milliseconds holds times that 64 bits of microseconds do not "
                f"(years beyond 294,000), often a number in the wrong unit. Mend them at the source."
            ) from None
        if isinstance(error, (*our_faults, duckdb.InternalException, duckdb.OutOfMemoryException)):
            raise
        if fault := changed_file_read(error):  # of a stored file that the delivered rows are compared with
            raise fault from None
        reason = str(error).splitlines()[0].rstrip(".")
        raise DataError(f"{name} cannot be read: {reason}. Deliver the file again.") from None


def _kind(path: Path) -> str:
    return "CSV" if is_csv(path) else "JSON lines" if is_json_lines(path) else "Parquet"


def _row_of_parquet(files: int) -> str:
    return "file_row_number + 1" if files == 1 else f"file_index * {_FILE_STEP} + file_row_number + 1"


def _with_folders(parcel: Parcel, form: FileForm, opened: _Opened) -> _Opened:
    """The columns with those that the folders' names say: texts, looked up by a row's file."""
    if not form.folder_columns:
        return opened
    for name in form.folder_columns:
        if form.folded(name) in map(form.folded, opened.names):
            raise DataError(
                f"{parcel.files[0].name} has a column {name!r}, which the contract reads from the folders' names "
                f"(folderColumns). Leave it out in one of them."
            )
    folders = [file.folder_values for file in parcel.files]
    relation = rows_with_folders(opened.relation, opened.row, len(opened.names), folders, _FILE_STEP)
    return replace(
        opened,
        names=[*opened.names, *form.folder_columns],
        types=[*opened.types, *[TEXT_CELL] * len(form.folder_columns)],
        relation=relation,
        row=ROW,
    )


def _refuse_other_columns(
    parcel: Parcel,
    first: ParcelFile,
    expected: tuple[Sequence[str], Sequence[str]],
    file: ParcelFile,
    found: tuple[Sequence[str], Sequence[str]],
) -> None:
    """DataError unless two Parquet files have the same columns of the same types; their order does not count."""
    _refuse_other_names(parcel, first, expected[0], file, found[0])
    here, there = dict(zip(*found, strict=True)), dict(zip(*expected, strict=True))
    if different := [name for name in there if here[name] != there[name]]:
        name = different[0]
        raise DataError(
            f"{parcel.name} mixes schemas: column {name!r} is {there[name]} in {first.name} and {here[name]} in "
            f"{file.name}. Nothing was read. Write all files with one schema, or deliver them as drops of their own."
        )


def _refuse_other_names(
    parcel: Parcel, first: ParcelFile, expected: Sequence[str], file: ParcelFile, found: Sequence[str]
) -> None:
    if sorted(expected) == sorted(found):
        return
    missing, more = [name for name in expected if name not in found], [name for name in found if name not in expected]
    which = f"lacks {missing[0]!r}, which {first.name} has" if missing else f"has {more[0]!r}, which {first.name} lacks"
    if not missing and not more:
        which = "repeats a column"
    raise DataError(
        f"{parcel.name} mixes schemas: {file.name} {which}. Nothing was read. Write all files with one schema, or "
        f"deliver them as drops of their own."
    )


def _note_of_empty_lines(name: str, count: int) -> str:
    return f"{plural(count, 'empty line')} of {name} {'is' if count == 1 else 'are'} no row"
