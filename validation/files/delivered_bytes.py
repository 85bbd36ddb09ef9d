"""The bytes of a delivered file, unpacked by its ending and checked to its end."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO, cast

import pyarrow as pa

from transformations.engine.base.errors import DataError

PACKED = (".gz", ".zst")
_BUFFER = 1 << 20
BOMB_RATIO, BOMB_BYTES = 500, 64 * 2**20
"""An archive that unpacks to more than both is taken for a bomb. Text of rows packs to a fifth or a twentieth."""


@contextmanager
def open_bytes(path: Path) -> Iterator[BinaryIO]:
    """The file's bytes from the first; a broken or cut-off archive is a DataError once it has been read to its end.

    An archive's own checksum and length are checked, which DuckDB's readers leave out.
    """
    try:
        match path.suffix.lower():
            case ".gz":
                with gzip.open(path) as unzipped:
                    yield _bounded(cast(BinaryIO, unzipped), path)
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


class _Bounded(io.RawIOBase):
    """An archive's unpacked bytes, up to what an honest one of its size could hold."""

    def __init__(self, stream: BinaryIO | IO[bytes], path: Path) -> None:
        self._stream, self._path, self._size = stream, path, 0
        self._limit = max(BOMB_BYTES, BOMB_RATIO * path.stat().st_size)

    def readable(self) -> bool:
        """True: it is read from start to end."""
        return True

    def readinto(self, buffer: object) -> int:
        """Read the next bytes; DataError beyond the limit."""
        view = memoryview(buffer)  # type: ignore[arg-type]  # whatever BufferedReader gives to be filled
        content = self._stream.read(len(view))
        view[: len(content)] = content
        self._size += len(content)
        if self._size > self._limit:
            raise DataError(
                f"{self._path.name} unpacks to more than {BOMB_RATIO} times its {self._path.stat().st_size:,} bytes, "
                f"as no file of rows does. Look at what made it; if it is meant, deliver it unpacked."
            )
        return len(content)


def _bounded(stream: BinaryIO | IO[bytes], path: Path) -> BinaryIO:
    return io.BufferedReader(_Bounded(stream, path), _BUFFER)
