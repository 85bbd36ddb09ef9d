"""Delta tables of other writers: what their protocol asks of a reader is met, or refused by its name.

delta-rs writes none of these features, so the log is edited by hand.
"""

import base64
import json
import struct
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from feast.types import Bool, FeastType, Float64, Int64, String, UnixTimestamp
from redis import Redis

from transformations.engine.base.errors import DataError

from .paths import entity, everywhere, pulled, rows, served, trained, visits
from .training_rows import Store

Log = list[dict[str, Any]]
_RFC_1924 = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~"
_Z85 = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"


def edited(folder: Path, edit: Callable[[Log], None]) -> Path:
    """A table of users 1 to 4 with n of 10 to 40, whose only log entry was edited."""
    write_deltalake(folder / "lake", rows(n=[10, 20, 30, 40]))
    entry = folder / "lake" / "_delta_log" / f"{0:020}.json"
    log = [json.loads(line) for line in entry.read_text().splitlines()]
    edit(log)
    entry.write_text("\n".join(map(json.dumps, log)))
    return folder / "lake"


def action(log: Log, kind: str) -> dict[str, Any]:
    found: dict[str, Any] = next(each[kind] for each in log if kind in each)
    return found


def needs(log: Log, *features: str, reader: int = 3) -> None:
    action(log, "protocol").update(minReaderVersion=reader, minWriterVersion=7 if reader == 3 else 5)
    if reader == 3:
        action(log, "protocol").update(readerFeatures=features, writerFeatures=features)


def deletion_vector(deleted: Iterable[int]) -> dict[str, Any]:
    """Rows of a file as the Delta protocol marks them as deleted within the log: a roaring bitmap of one container."""
    numbers = sorted(deleted)
    container = struct.pack("<HHI", 0, len(numbers) - 1, 16) + struct.pack(f"<{len(numbers)}H", *numbers)
    data = struct.pack("<IqIII", 1681511377, 1, 0, 12346, 1) + container
    text = base64.b85encode(data).translate(bytes.maketrans(_RFC_1924, _Z85)).decode()
    return {"storageType": "i", "pathOrInlineDv": text, "sizeInBytes": len(data), "cardinality": len(numbers)}


def with_deleted_rows(log: Log) -> None:
    needs(log, "deletionVectors")
    action(log, "add")["deletionVector"] = deletion_vector([1, 2])


def renamed(log: Log, mode: str = "name", reader: int = 2) -> None:
    """The column that the files call `n` became `pages`."""
    needs(log, "columnMapping", reader=reader)
    meta = action(log, "metaData")
    meta["configuration"] = {"delta.columnMapping.mode": mode}
    schema = json.loads(meta["schemaString"])
    for number, field in enumerate(schema["fields"], start=1):
        field["metadata"] = {"delta.columnMapping.id": number, "delta.columnMapping.physicalName": field["name"]}
        field["name"] = "pages" if field["name"] == "n" else field["name"]
    meta["schemaString"] = json.dumps(schema)


def mapped_but_not_renamed(log: Log) -> None:
    renamed(log)
    meta = action(log, "metaData")
    meta["schemaString"] = meta["schemaString"].replace('"pages"', '"n"')


REFUSED: dict[str, tuple[Callable[[Log], None], str]] = {
    "deletion vectors": (with_deleted_rows, "1 file with deletion vectors, .* REORG TABLE"),
    "column mapping": (renamed, "its files call 'pages' as 'n'.*CREATE TABLE"),
    "column mapping as a feature": (lambda log: renamed(log, reader=3), "its files call 'pages' as 'n'"),
    "column mapping by number": (lambda log: renamed(log, "id"), "call 'pages' as 'n'"),
    "variant": (lambda log: needs(log, "variantType"), "'variantType'.*CREATE TABLE"),
    "shredded variant": (lambda log: needs(log, "variantShredding-preview"), "'variantShredding-preview'"),
    "catalogue": (lambda log: needs(log, "catalogManaged"), "[Cc]atalog-managed"),
    "of tomorrow": (lambda log: needs(log, "timeTravelToTomorrow"), "'timeTravelToTomorrow'"),
    "reader version": (lambda log: needs(log, reader=4), "reader version 4"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_this_reader_does_not_know_is_refused_by_name_on_every_path(
    store_of: Store, redis: Redis, tmp_path: Path, kind: str
) -> None:
    edit, message = REFUSED[kind]
    view = visits(edited(tmp_path, edit), {"n": Int64})
    store = store_of(entity(), view)
    for read in (trained, served, pulled):
        with pytest.raises(DataError, match=f"visits: .*{message}"):
            read(store, view, [1, 2, 3, 4])
    with pytest.raises(DataError, match=f"visits: .*{message}"):
        store.write_to_offline_store("visits", rows(n=[50]).to_pandas())


@pytest.mark.parametrize(
    "edit",
    [
        lambda log: needs(log, "deletionVectors"),
        mapped_but_not_renamed,
        lambda log: needs(log, "timestampNtz", "typeWidening", "v2Checkpoint", "vacuumProtocolCheck", "columnMapping"),
    ],
    ids=["no row deleted yet", "no column renamed yet", "nothing that changes its rows"],
)
def test_a_feature_that_changes_no_row_is_no_obstacle(
    store_of: Store, redis: Redis, tmp_path: Path, edit: Callable[[Log], None]
) -> None:
    view = visits(edited(tmp_path, edit), {"n": Int64})
    assert everywhere(store_of(entity(), view), view, [1, 2, 3, 4]) == {"n": [10, 20, 30, 40]}


def test_a_partition_of_bytes_is_refused_by_its_name(store_of: Store, redis: Redis, tmp_path: Path) -> None:
    table = rows(n=[1, 2]).append_column("part", pa.array([b"a", b"\xff"]))
    write_deltalake(tmp_path / "lake", table, partition_by=["part"])
    view = visits(tmp_path / "lake", {"n": Int64})
    store = store_of(entity(), view)
    for read in (trained, served, pulled):
        with pytest.raises(DataError, match="visits: the Delta table is partitioned by 'part', whose bytes"):
            read(store, view, [1, 2])


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [
        ("2024-05-01", String, "2024-05-01"),
        ("007", String, "007"),
        ("a=b/c d%", String, "a=b/c d%"),
        (True, Bool, True),
        (0.1, Float64, 0.1),
        (7, Int64, 7),
        (Decimal("1.10"), Float64, 1.1),
        (date(2024, 5, 1), UnixTimestamp, datetime(2024, 5, 1, tzinfo=UTC)),
        (datetime(2024, 5, 1, 1, 2, 3, tzinfo=UTC), UnixTimestamp, datetime(2024, 5, 1, 1, 2, 3, tzinfo=UTC)),
    ],
)
def test_a_partition_s_value_is_the_one_in_the_log(
    store_of: Store, redis: Redis, tmp_path: Path, value: object, dtype: FeastType, expected: object
) -> None:
    table = rows(n=[1, 2]).append_column("part", pa.array([value, None]))
    write_deltalake(tmp_path / "page=above" / "lake", table, partition_by=["part"])
    view = visits(tmp_path / "page=above" / "lake", {"part": dtype})
    assert everywhere(store_of(entity(), view), view, [1, 2]) == {"part": [expected, None]}
