"""A delivered file as DuckDB reads it: Parquet with its own types, or CSV whose cells are all text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from transformations.contracts import Contract, CsvDialect, FileForm
from transformations.engine.base.duck import identifier
from transformations.engine.base.errors import DataError, UsageError
from transformations.engine.base.words import plural
from validation.files.csv_dialects import usual_dialect
from validation.files.csv_files import CsvFile, cells, open_csv
from validation.files.delivered_bytes import PACKED, open_bytes
from validation.files.parquet_files import parquet_columns, parquet_relation

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

ROW = "_row_of_the_file"  # no column of a contract begins with _
TEXT_CELL = "text"  # the type of every CSV column

_FAR_TIMESTAMP = "Could not convert Timestamp("  # what DuckDB's Parquet reader says, which nothing in SQL prevents
_NO_TEXT = {
    b"\x1f\x8b": "packed with gzip",
    b"(\xb5/\xfd": "packed with zstd",
    b"PK\x03\x04": "a zip archive, as spreadsheets are",
    b"PAR1": "a Parquet file",
    b"BZh": "packed with bzip2",
    b"\xfd7zX": "packed with xz",
    b"\xd0\xcf\x11\xe0": "a workbook of an older Excel",
}
_CSV_ENDINGS = (".csv", ".csv.gz", ".csv.zst", ".tsv", ".tsv.gz", ".tsv.zst")


@dataclass(frozen=True, kw_only=True)
class DropFile:
    """A readable file, its columns under the contract's names; those that the contract does not know keep their own.

    types: by column, the type that the file stores (DuckDB's name of it). notes: what was passed over in reading.
    """

    path: Path
    types: dict[str, str]
    relation: str
    cells: dict[str, str]  # by column, its name in the relation
    row_number: str
    names: dict[str, str]  # by column, its name in the file
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The file's name, as messages say it."""
        return self.path.name

    def rows(self, columns: Iterable[str]) -> str:
        """A FROM item with these columns and ROW, the row's number from 1 (a CSV header is not counted)."""
        chosen = "".join(f"{self.cells[name]} AS {identifier(name)}, " for name in columns)
        return f"(SELECT {chosen}{self.row_number} AS {ROW} FROM {self.relation})"


def open_drop(
    connection: DuckDBPyConnection,
    path: Path,
    contract: Contract | None = None,
    keys_only: bool = False,
    dialect: CsvDialect | None = None,
) -> DropFile:
    """The file at a path; UsageError where there is none of a kind we read, DataError where it is damaged.

    The contract says how it is written; without one, a dialect may be given. keys_only: it holds keys to retract.
    """
    refuse_other_than_file(path)
    form = contract.form if contract else FileForm(csv=dialect)
    expected = () if contract is None else contract.key if keys_only else contract.column_names
    if is_csv(path):
        file = open_csv(connection, path, form.csv or usual_dialect(path))
        names = _name_columns(
            path, form, contract, file.header or _names_without_header(path, file, contract, expected)
        )
        notes = (_note_of_empty_lines(path, file.empty_lines),) if file.empty_lines else ()
        return _drop_file(
            path, names, [TEXT_CELL] * file.width, file.relation(form.null_tokens), "row_number() OVER ()", notes
        )
    with readable(path):
        found, types = parquet_columns(connection, path)
        names = _name_columns(path, form, contract, found)
        relation = f"{parquet_relation(path)} AS {identifier('file')}({', '.join(cells(len(found)))})"
        return _drop_file(path, names, types, relation, "file_row_number + 1")


def is_csv(path: Path) -> bool:
    """Whether the file is CSV by its name."""
    return path.name.lower().endswith(_CSV_ENDINGS)


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Raise a DataError that names the file where reading it within fails because it is damaged."""
    import duckdb

    our_faults = (duckdb.BinderException, duckdb.ParserException, duckdb.CatalogException, duckdb.ConversionException)
    try:
        yield
    except duckdb.Error as error:
        if isinstance(error, duckdb.ConversionException) and _FAR_TIMESTAMP in str(error):
            raise DataError(
                f"{path.name}: a column of seconds or milliseconds holds times that 64 bits of microseconds do not "
                f"(years beyond 294,000), often a number in the wrong unit. Mend them at the source."
            ) from None
        if isinstance(error, (*our_faults, duckdb.InternalException, duckdb.OutOfMemoryException)):
            raise
        reason = str(error).splitlines()[0].rstrip(".")
        raise DataError(f"{path.name} cannot be read: {reason}. Deliver the file again.") from None


def refuse_other_than_file(path: Path) -> None:
    """UsageError for a path that is no file of a kind we read."""
    if path.is_dir():
        raise UsageError(f"{path} is a folder. Ingest its files one by one, each as a drop of its own.")
    if not path.is_file():
        raise UsageError(f"{path}: no such file. Give the path of a Parquet or CSV file.")
    if not is_csv(path) and not path.name.lower().endswith((".parquet", ".pq")):
        raise UsageError(
            f"{path.name}: neither Parquet nor CSV by its name. Name it *.parquet, *.csv, *.csv.gz or *.tsv."
        )
    if is_csv(path):
        with open_bytes(path) as stream:
            start = stream.read(4)
        if (kind := next((kind for mark, kind in _NO_TEXT.items() if start.startswith(mark)), None)) is not None:
            inside = " inside" if path.suffix.lower() in PACKED else ""
            raise UsageError(
                f"{path.name} is no CSV text{inside} but {kind}. Unpack it, or give it the ending that says so."
            )


def _note_of_empty_lines(path: Path, count: int) -> str:
    return f"{plural(count, 'empty line')} of {path.name} {'is' if count == 1 else 'are'} no row"


def _drop_file(
    path: Path,
    names: Sequence[tuple[str, str] | None],
    types: Sequence[str],
    relation: str,
    row: str,
    notes: tuple[str, ...] = (),
) -> DropFile:
    kept = [(*each, kind, cell) for each, kind, cell in zip(names, types, cells(len(types)), strict=True) if each]
    return DropFile(
        path=path,
        types={name: kind for name, _, kind, _ in kept},
        relation=relation,
        cells={name: cell for name, _, _, cell in kept},
        row_number=row,
        names={name: found for name, found, _, _ in kept},
        notes=notes,
    )


def _name_columns(
    path: Path, form: FileForm, contract: Contract | None, found: Sequence[str]
) -> list[tuple[str, str] | None]:
    """Each column's name in the contract and in the file; None for a column that the contract ignores."""
    ours = {form.folded(column.in_file): column.name for column in contract.columns} if contract else {}
    ignored = {form.folded(name) for name in form.ignored_columns}
    kept = [None if form.folded(name) in ignored else (ours.get(form.folded(name), name), name) for name in found]
    _refuse_repeated(path, [each[1] for each in kept if each])
    for name, there in (each for each in kept if each):
        if contract and name == there and form.folded(there) not in ours and name.lower() in _lower_names(contract):
            in_file = next(each.in_file for each in contract.columns if each.name.lower() == name.lower())
            if in_file.lower() != name.lower():
                raise DataError(
                    f"{path.name} has a column {name!r}, yet by the contract that column is called {in_file!r} in "
                    f"files. Correct physicalName, or name {name!r} in ignoredColumns."
                )
    return kept


def _lower_names(contract: Contract) -> set[str]:
    return {name.lower() for name in contract.column_names}


def _refuse_repeated(path: Path, names: Sequence[str]) -> None:
    """DataError unless each column has its own name, case aside: DuckDB would rename the second of a pair."""
    if any(not name.strip() for name in names):
        number = next(number for number, name in enumerate(names, 1) if not name.strip())
        raise DataError(
            f"{path.name}: column {number} of {len(names)} has no name. Name it in the file (pandas' index is left "
            f"out by index=False), or ignore it in the contract: ignoredColumns: ['']."
        )
    counts = Counter(name.lower() for name in names)
    if twice := [name for name in names if counts[name.lower()] > 1]:
        raise DataError(
            f"{path.name} has {len(twice)} columns called {', '.join(map(repr, twice[:4]))} (case aside). Each needs a "
            f"name of its own: rename or leave out one at the source."
        )
    if ROW in (name.lower() for name in names):
        raise DataError(f"{path.name} has a column {ROW!r}, the name of the platform's own. Rename it.")


def _names_without_header(
    path: Path, file: CsvFile, contract: Contract | None, expected: Sequence[str]
) -> tuple[str, ...]:
    """The names of the columns of a file without a header: the contract's, in its order."""
    if contract is None:
        return tuple(f"column_{number}" for number in range(1, file.width + 1))
    if file.width != len(expected):
        raise DataError(
            f"{path.name}: its first row has {plural(file.width, 'cell')}, the contract "
            f"{plural(len(expected), 'column')}, and no header says which is which (csv: header: false). Deliver all "
            f"columns in the contract's order."
        )
    return tuple(contract.column(name).in_file for name in expected)
