"""The commit that puts files with the same rows in the place of others: `dataChange: false` on every add and remove.

delta-rs offers no commit of removes and adds that a caller chooses, so this one is written as the protocol says: the
actions, a line each, in a file of the next version's name, which comes to be whole or not at all, and only if no other
writer has made it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote
from uuid import uuid4

import pyarrow as pa

from transformations.engine.base import storage
from transformations.engine.base.commit_log import sum_up
from transformations.engine.base.errors import ConflictError

if TYPE_CHECKING:
    from deltalake import DeltaTable

RECORD = "features.merged"


def replace_files(
    folder: Path,
    replaced: Sequence[str],
    files: Sequence[storage.NewFile],
    record: Mapping[str, Any],
    refuses: str | None = None,
) -> int:
    """Put finished files in the place of others, which hold the same rows, as one version; returns it.

    Paths are relative to the table. record: our note in the commit, under `RECORD`. refuses: the record key of commits
    whose numbers are those of the table's versions: whoever prepared one before this version finds its number taken,
    and publishes nothing. Raises ConflictError where a replaced file is no longer part of the table, or another writer
    was faster; nothing is then published.
    """
    from deltalake.exceptions import DeltaError

    table = storage.open_table(folder)
    version = table.version() + 1
    facts = {unquote(each["path"]): each for each in pa.table(table.get_add_actions(flatten=True)).to_pylist()}
    if gone := [path for path in replaced if path not in facts]:
        raise ConflictError(f"{folder.name}: {gone[0]} is no longer part of it: another writer replaced it first.")
    finished = storage.finish_files(folder, [file.path for file in files])
    moment = int(time.time() * 1000)
    gone_from = [facts[path] for path in replaced]
    number = {"appId": refuses, "version": version + 1} if refuses else {"appId": RECORD, "version": version}
    note = {RECORD: json.dumps(record), **finished.note}
    lines = [json.dumps(action) for action in (*_actions(gone_from, files, note, moment), {"txn": number})]
    entry = folder / "_delta_log" / f"{version:020}.json"
    content = "\n".join(lines) + "\n"
    bucket = finished.bucket
    if not (_write_new(entry, content) if bucket is None else bucket.put_new(entry, content.encode())):
        raise ConflictError(
            f"{folder.name}: another writer published first. Nothing was published by this one; repeat the command."
        )
    with suppress(DeltaError, OSError):  # it only sums up the log, and the version is published
        storage.open_table(folder).create_checkpoint()
        if bucket is not None:
            storage.table_in_bucket(bucket, folder).create_checkpoint()
    storage.record_log(folder, version)
    sum_up(folder)
    return version


def _write_new(entry: Path, content: str) -> bool:
    """Write a file that is there whole or not at all; False where another one has its name."""
    draft = entry.with_name(f"_commit_{uuid4().hex}.json.tmp")
    try:
        storage.make_file(draft).write_text(content, encoding="utf-8")
        os.link(draft, entry)
    except FileExistsError:
        return False
    finally:
        draft.unlink(missing_ok=True)
    return True


def rows_by_file(table: DeltaTable) -> dict[str, int]:
    """The rows in each file of an open table of ours, by the file's path relative to the table."""
    actions = pa.table(table.get_add_actions(flatten=True))
    paths, rows = (actions[name].to_pylist() for name in ("path", "num_records"))
    return {unquote(path): count for path, count in zip(paths, rows, strict=True)}


def _actions(
    replaced: Sequence[Mapping[str, Any]], files: Sequence[storage.NewFile], note: Mapping[str, str], moment: int
) -> Iterator[Mapping[str, Any]]:
    """The lines of the commit but the last, which is a number, so that a commit cut short is known."""
    yield {"commitInfo": {"timestamp": moment, "operation": "OPTIMIZE", "operationParameters": {}, **note}}
    for file in replaced:
        yield {
            "remove": {
                "path": file["path"],
                "deletionTimestamp": moment,
                "dataChange": False,
                "extendedFileMetadata": True,
                "partitionValues": {},
                "size": file["size_bytes"],
            }
        }
    for new in files:
        yield {
            "add": {
                "path": new.path,
                "partitionValues": {},
                "size": new.size,
                "modificationTime": moment,
                "dataChange": False,
                "stats": storage.statistics_text(new),
            }
        }
