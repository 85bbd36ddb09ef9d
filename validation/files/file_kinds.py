"""Which kinds of files are read, told by their names alone, and what is no such file at all."""

from __future__ import annotations

from pathlib import Path

from transformations.engine.base.errors import DataError, UsageError
from validation.files.delivered_bytes import PACKED, open_bytes

_CSV = (".csv", ".csv.gz", ".csv.zst", ".tsv", ".tsv.gz", ".tsv.zst")
_JSON_LINES = tuple(f"{ending}{packed}" for ending in (".jsonl", ".ndjson") for packed in ("", ".gz", ".zst"))
_PARQUET = (".parquet", ".pq")
_NO_TEXT = {
    b"\x1f\x8b": "packed with gzip",
    b"(\xb5/\xfd": "packed with zstd",
    b"PK\x03\x04": "a zip archive, as spreadsheets are",
    b"PAR1": "a Parquet file",
    b"BZh": "packed with bzip2",
    b"\xfd7zX": "packed with xz",
    b"\xd0\xcf\x11\xe0": "a workbook of an older Excel",
}


def is_csv(path: Path) -> bool:
    """Whether the file is CSV by its name."""
    return path.name.lower().endswith(_CSV)


def is_json_lines(path: Path) -> bool:
    """Whether the file is JSON lines by its name."""
    return path.name.lower().endswith(_JSON_LINES)


def refuse_other_than_file(path: Path) -> None:
    """UsageError for a path that is no file of a kind we read, DataError for one that is not what its name says."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise UsageError(f"{str(path)!r}: the name is no UTF-8 text. Rename the file.") from None
    if not path.is_file():
        if path.is_dir():
            raise UsageError(f"{path} is a folder, and one file is needed here. Give one of its files.")
        if path.exists():
            raise UsageError(f"{path} is a device, a pipe or a socket, no file. Write what it gives to a file first.")
        raise UsageError(f"{path}: no such file. Give the path of a Parquet, CSV or JSON lines file, or of a folder.")
    is_text = is_csv(path) or is_json_lines(path)
    if not is_text and not path.name.lower().endswith(_PARQUET):
        raise UsageError(
            f"{path.name}: neither Parquet, CSV nor JSON lines by its name. Name it *.parquet, *.csv, *.tsv or *.jsonl "
            f"(packed: *.csv.gz, *.csv.zst, *.jsonl.gz, *.jsonl.zst)."
        )
    if is_text:
        with open_bytes(path) as stream:
            start = stream.read(4)
        if (kind := next((kind for mark, kind in _NO_TEXT.items() if start.startswith(mark)), None)) is not None:
            inside, format_ = " inside" if path.suffix.lower() in PACKED else "", "CSV" if is_csv(path) else "JSON"
            raise DataError(
                f"{path.name} is no {format_} text{inside} but {kind}. Unpack it, or give it the ending that says so."
            )
