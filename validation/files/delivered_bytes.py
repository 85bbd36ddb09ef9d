"""The bytes of a delivered file, unpacked by its ending and checked to its end."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa

from transformations.engine.base.errors import DataError

PACKED = (".gz", ".zst")


@contextmanager
def open_bytes(path: Path) -> Iterator[BinaryIO]:
    """The file's bytes from the first; a broken or cut-off archive is a DataError once it has been read to its end.

    An archive's own checksum and length are checked, which DuckDB's readers leave out.
    """
    try:
        match path.suffix.lower():
            case ".gz":
                with gzip.open(path) as unzipped:
                    yield cast(BinaryIO, unzipped)
            case ".zst":
                with (
                    path.open("rb") as packed,
                    pa.CompressedInputStream(pa.PythonFile(packed, "r"), "zstd") as unpacked,
                ):
                    yield cast(BinaryIO, unpacked)
            case _:
                with path.open("rb") as plain:
                    yield plain
    except (EOFError, OSError, zlib.error) as error:
        if path.suffix.lower() not in PACKED or isinstance(error, FileNotFoundError | PermissionError):
            raise
        raise DataError(f"{path.name} cannot be unpacked: {error}. Deliver the file again.") from None
