"""Check that every file that a table or dataset refers to is there, and is bit for bit what was written."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from transformations.engine.base import checksums, storage
from transformations.engine.base.commit_log import fault_of_hint, log_entries, logged_commits
from transformations.engine.base.disk_faults import (
    faults_in_words,
    files_below,
    folders_in,
    known_fault,
    note_reads,
)
from transformations.engine.base.errors import DamagedError, FeaturesError
from transformations.engine.raw.files import MERGED_FOLDER
from transformations.engine.raw.originals import given_up
from transformations.engine.tables.offline_tables import OfflineTable
from transformations.engine.tables.pins import pinned


@dataclass(kw_only=True)
class Examined:
    """What was found in one folder. faults: a sentence each, with the path. unrecorded: files without a checksum, which
    were read whole instead. given_up: older, unpinned versions whose files are gone, as after
    `features vacuum --keep-versions`.
    """

    zone: str
    name: str
    files: int = 0
    size_bytes: int = 0
    unrecorded: int = 0
    given_up: tuple[int, ...] = ()
    faults: list[str] = field(default_factory=list)


def examine_tables(raw: Path, offline: Path) -> Iterator[Examined]:
    """Examine every table of the raw and the offline zone, and whether the sources of each offline table are there."""
    for zone, root in (("raw", raw), ("offline", offline)):
        for folder in folders_in(root):
            if (folder / "_delta_log").is_dir() or (folder / checksums.FILE).is_file():
                found = examine_table(zone, folder)
                if zone == "offline" and not found.faults:
                    found.faults += _lost_sources(folder, raw)
                yield found


def examine_artifacts(models: Path) -> Iterator[Examined]:
    """Examine every folder of a model's version: whatever has checksums below the models' folder."""
    for sums in (path for path in files_below(models) if path.name == checksums.FILE):
        found = examine_folder("model", sums.parent, checksums.recorded(sums.parent))
        found.name = sums.parent.relative_to(models).as_posix()
        yield found


def _lost_sources(table: Path, raw: Path) -> Iterator[str]:
    """A sentence for each source that an offline table was computed from and that is not there, or older."""
    for source, version in storage.newest_record(table, "features.run").get("sources", {}).items():
        known = len(log_entries(raw / source)) - 1
        if known < version:
            there = f"has version {known}" if known >= 0 else "is gone"
            yield (
                f"it was computed from version {version} of {source}, and {raw / source} {there}. Bring it back from a "
                f"copy, or ingest its files again and run `features build`."
            )


def examine_table(zone: str, folder: Path) -> Examined:
    """Read all that the published versions of a table refer to: rows, what was carried over, pins, and the log."""
    found = Examined(zone=zone, name=folder.name)
    try:
        _examine_versions(found, folder)
    except FeaturesError as error:
        found.faults.append(error.message)
    return found


@faults_in_words()
def _examine_versions(found: Examined, folder: Path) -> None:
    storage.check_log(folder)
    published, pins = list(storage.contents(folder)), pinned(OfflineTable(folder))
    if not published:  # a killed first run has left the folder
        return
    if fault := fault_of_hint(folder):
        found.faults.append(fault)
    versions = {each.version for each in published}
    found.faults += [
        f"{folder / 'pins.json'} pins version {each}, which is not there" for each in pins.keys() - versions
    ]
    needed = versions if found.zone == "raw" else {max(versions), *pins}
    every = {path for each in published for path in each.files}
    gone = {file.relative_to(folder).as_posix() for file in storage.lacking_files(folder, map(folder.joinpath, every))}
    lost = {path for each in published if each.version in needed for path in gone.intersection(each.files)}
    lost -= given_up(folder) if found.zone == "raw" else frozenset()
    lost = {path for path in lost if path in published[-1].files or not path.startswith(MERGED_FOLDER)}
    found.given_up = tuple(
        each.version for each in published if each.version not in needed and gone.intersection(each.files)
    )
    sizes: dict[str, int | None] = {path: size for each in published for path, size in each.files.items()}
    sizes |= dict.fromkeys(_files_beside_rows(folder))
    _examine_files(found, folder, {path: size for path, size in sizes.items() if path not in gone - lost})


def examine_folder(zone: str, folder: Path, files: Iterable[str]) -> Examined:
    """Read these files of a folder, which are never written again."""
    found = Examined(zone=zone, name=folder.name)
    _examine_files(found, folder, dict.fromkeys(files))
    return found


def _files_beside_rows(folder: Path) -> Iterator[str]:
    """The files of a table besides its rows: carried-over state, findings about drops, and the log.

    A checkpoint that is gone is none of them: it only summed up commits, and moving it away is how one is mended.
    """
    for file in storage.log_files(folder):
        yield file.relative_to(folder).as_posix()
    recorded = (path for path in checksums.recorded(folder) if path.startswith("_delta_log/"))
    yield from (path for path in recorded if not path.endswith(".checkpoint.parquet"))
    for carry in storage.folders_below(folder, "carry=*"):
        for stored in storage.files_below(carry):
            yield stored.path.relative_to(folder).as_posix()
    newest = storage.newest_record(folder, "features.run").get("carry")
    yield from (path for path in checksums.recorded(folder) if newest and path.startswith(f"{newest}/"))
    records = (commit.record("features.drop") for commit in logged_commits(folder))
    for place in (record["quality"] for record in records if record and record.get("quality")):
        yield from (path for path in checksums.recorded(folder) if path.startswith(f"{place}/"))


def _examine_files(found: Examined, folder: Path, sizes: Mapping[str, int | None]) -> None:
    recorded = checksums.recorded(folder)
    for path, size in sorted(sizes.items()):
        file = folder / path
        try:
            note_reads([file])
            actual = file.stat().st_size
            found.files += 1
            found.size_bytes += actual
            found.unrecorded += path not in recorded
            fault = _fault_of(file, actual, size, recorded.get(path))
        except FileNotFoundError:
            fault = "is missing"
        except DamagedError as error:  # of what is in object storage
            found.faults.append(error.message)
            continue
        except OSError as error:
            known = known_fault(error)
            fault = f"cannot be read: {known.message if known else error}"
        if fault:
            found.faults.append(f"{file} {fault}")


def _fault_of(file: Path, actual: int, size: int | None, checksum: str | None) -> str | None:
    if size is not None and actual != size:
        return f"has {actual:,} bytes and was written with {size:,}"
    if checksum is not None:
        return None if checksums.content_hash(file) == checksum else "does not hold the bytes that were written"
    return _fault_of_reading(file)


def _fault_of_reading(file: Path) -> str | None:
    """Read a file without a recorded checksum whole, and say what is wrong with it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if file.suffix == ".parquet":
            with pq.ParquetFile(file, page_checksum_verification=True) as parquet:
                for group in range(parquet.num_row_groups):
                    parquet.read_row_group(group)
        elif file.suffix == ".json":
            text = file.read_text(encoding="utf-8")
            for document in text.splitlines() if file.parent.name == "_delta_log" else [text]:
                json.loads(document)
        else:
            checksums.content_hash(file)
    except (pa.ArrowException, ValueError) as error:
        return f"cannot be read: {str(error).splitlines()[0]}"
    return None
