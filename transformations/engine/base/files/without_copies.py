"""What is read from object storage, or put there, by those that keep no copy of it on their own disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from transformations.engine.base.checksums import content_hash
from transformations.engine.base.files.bucket import bucket_of
from transformations.engine.base.files.copies import missing_object

if TYPE_CHECKING:
    import pyarrow.parquet as pq


def footer_of(path: str | Path) -> pq.FileMetaData:
    """The footer of a table's Parquet file: of the file where it is here, else from the end of the object alone.

    Its bytes are not verified; those that read rows verify the whole file. DamagedError for an object that is gone.
    """
    import pyarrow.parquet as pq

    file = Path(path)
    bucket = None if file.exists() else bucket_of(file)
    if bucket is None:
        return pq.read_metadata(file)
    try:
        with bucket.reader(file) as opened:
            return pq.read_metadata(opened)
    except FileNotFoundError:
        raise missing_object(bucket, file) from None


def hand_over(path: Path, *, once: bool = False) -> str:
    """Put a finished file of a table into object storage, for whoever commits it; the SHA-256 of what is there then.

    The file here goes. once: several attempts of a task give this name; the first one's object stays for all.
    """
    bucket = bucket_of(path)
    if bucket is None:
        raise AssertionError(f"{path} is in no folder of copies")
    checksum = content_hash(path)
    if not once:
        bucket.upload_as(path, path)
    elif not bucket.put_new_file(path):
        checksum = bucket.download(path, path)
    path.unlink()
    return checksum
