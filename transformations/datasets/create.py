"""Making a pinned dataset, making it again from its manifest, and checking it.

A dataset is a folder of its own: a Parquet file a split, the manifest, and the spine's file where there was one. It is
built beside its place and moved there at once; what is there is never written again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from feast import FeatureStore

from transformations.datasets.config import DatasetConfig
from transformations.datasets.content.content_hash import column_hashes, combine_hashes
from transformations.datasets.content.statistics import statistics_of
from transformations.datasets.folders import building, dataset_folders, publish, refuse_existing, remove_leftovers
from transformations.datasets.leakage import check_leakage
from transformations.datasets.manifest import FILE, Availability, Manifest, PinnedTable, SplitContent, read_manifest
from transformations.datasets.pinning import (
    holding,
    lost_versions,
    pin_query,
    pin_views,
    reason_of,
    refuse_changed,
    release,
    versions_of,
)
from transformations.datasets.registration import Referrer, is_registered, refuse_referred, register
from transformations.datasets.snapshot import open_snapshot, take_snapshot
from transformations.datasets.spines import Source, copy_file, known_label, restore_file, rows_of, source_of
from transformations.datasets.splits import Selection, select
from transformations.engine.base import storage
from transformations.engine.base.disk_faults import faults_in_words, known_fault, note_reads, paths_in, verify_files
from transformations.engine.base.errors import DataError, DiskError, FeaturesError, UsageError
from transformations.engine.base.settings import Settings
from transformations.engine.base.words import plural
from transformations.engine.identity.code_revision import code_revision
from transformations.engine.lineage.events import Dataset, Field, report_run
from transformations.engine.lineage.names import raw_dataset, saved_dataset_job
from transformations.engine.upkeep.integrity import Examined, examine_folder
from transformations.stores.base.collisions import FULL_NAMES, collisions_of
from transformations.stores.history.session_sql import resources_of
from transformations.stores.training.jobs import SAVED, PointInTimeJob
from transformations.stores.training.spine import spine_of
from transformations.stores.training.spine_sql import Query

SPLIT = "split"
_LIBRARIES = ("feast", "duckdb", "pyarrow", "deltalake", "numpy", "pandas")


@faults_in_words()
def create(
    config: DatasetConfig,
    folder: Path,
    store: FeatureStore,
    settings: Settings,
    *,
    replace_unless: Sequence[Referrer] | None = None,
) -> Manifest:
    """Make the dataset of a configuration, from the tables as they are now, and register it with Feast.

    folder: of the configuration, where a spine's file is looked for. replace_unless: in place of one of that name,
    unless one of these refers to it, now or when the new one takes its place; None: in place of none. UsageError where
    there is a dataset of that name, DataError where a split is empty or the leakage check finds a fault; nothing is
    left behind then, and what was there stays.
    """
    target = settings.datasets_dir / config.name
    with building(target) as unfinished:
        if replace_unless is not None:
            refuse_referred(config.name, store, replace_unless)
        elif (begun := _unregistered_dataset(config, target, store)) is not None:
            complete(begun, store, settings)
            return begun
        else:
            refuse_existing(target)
        if not target.exists():
            release(reason_of(config.name), settings)  # what a killed process may have pinned
        taken = take_snapshot(store, config.feature_service, settings)
        refuse_collisions(config, store)
        source = source_of(config, folder)
        spine_file = copy_file(source, unfinished) if isinstance(source, Path) else None
        spine_tables = pin_query(source, settings) if isinstance(source, Query) else ()
        with open_snapshot(taken, store.config, {}) as known:
            views = pin_views(known, settings)
        with holding((*views, *spine_tables), reason_of(config.name), settings):
            with open_snapshot(taken, store.config, versions_of(views)) as pinned:
                content = _compute_content(
                    config, unfinished / spine_file.path if spine_file else source, pinned, settings
                )
                refuse_changed(views, pin_views(pinned, settings))
            manifest = Manifest(
                name=config.name,
                created_at=settings.now(),
                config=config,
                code_revision=code_revision(),
                libraries={name: _installed_version(name) for name in _LIBRARIES},
                data_end=content.data_end,
                timestamp=content.timestamp,
                views=views,
                spine_tables=spine_tables,
                spine_file=spine_file,
                functions=function_hashes(taken),
                counts={"spine": content.spine_rows, **content.selection.dropped},
                splits=tuple(_write_splits(content, unfinished)),
                leakage=content.leakage,
                registry=taken,
            )
            storage.replace_text(unfinished / FILE, manifest.text())
            refuse_referred(config.name, store, replace_unless or ())  # to the old one, meanwhile
            publish(unfinished, target)
        complete(manifest, store, settings)
    _report_lineage(manifest, settings)
    return manifest


def _report_lineage(manifest: Manifest, settings: Settings) -> None:
    """Tell of a dataset: its service and tables, and of each column the feature that it holds."""
    zones = {"raw": raw_dataset}
    tables = {zones.get(each.zone, str)(each.name): each.version for each in (*manifest.views, *manifest.spine_tables)}
    (service,) = manifest.registry["feature_services"]
    reads: dict[str, list[Field]] = {}
    for projection in service["spec"]["features"]:
        view, alias = projection["feature_view_name"], projection.get("feature_view_name_alias")
        for feature in projection["feature_columns"]:
            prefix = f"{alias or view}__" if manifest.config.full_feature_names else ""
            reads[f"{prefix}{feature['name']}"] = [Field(view, feature["name"])]
    report_run(
        settings,
        saved_dataset_job(manifest.name),
        inputs=[
            Dataset(name=manifest.config.feature_service),
            *(Dataset(name=name, version=version) for name, version in tables.items()),
        ],
        outputs=[Dataset(name=manifest.name, reads=reads, rows=sum(split.rows for split in manifest.splits))],
        at=settings.now(),
    )


@faults_in_words()
def complete(manifest: Manifest, store: FeatureStore, settings: Settings) -> None:
    """Do what is left once a dataset is in its place, the same after a killed process: pin, register, tidy up.

    The caller holds the dataset's lock.
    """
    pinned_tables = (*manifest.views, *manifest.spine_tables)
    with holding(pinned_tables, reason_of(manifest.name), settings):
        register(store, manifest, settings)
    needed = {(table.name, table.version) for table in pinned_tables}
    release(reason_of(manifest.name), settings, but=needed)
    remove_leftovers(settings.datasets_dir / manifest.name)


@faults_in_words()
def rebuild(manifest: Manifest, folder: Path, store: FeatureStore, settings: Settings) -> bool:
    """Make the dataset of a manifest again from what it pins, and compare; whether it was put into its place.

    folder: the manifest's, with the spine's file where there was one. The dataset is written where there is none of its
    name. It is pinned and registered with Feast unless another dataset has its name. DataError where the content
    differs, or a pinned version is gone.
    """
    target = settings.datasets_dir / manifest.name
    config = manifest.config
    with building(target) as unfinished:
        versions = {(str(table.zone), table.name): table.version for table in manifest.spine_tables}
        source = restore_file(manifest, folder, unfinished) or source_of(config, folder, versions)
        if isinstance(source, Query):
            _refuse_changed_columns(source, manifest.spine_tables)
        with open_snapshot(manifest.registry, store.config, versions_of(manifest.views)) as pinned:
            refuse_changed(manifest.views, pin_views(pinned, settings))
            content = _compute_content(config, source, pinned, settings)
        splits = list(_write_splits(content, unfinished))
        _refuse_difference(manifest, splits)
        is_new = not target.exists()
        if is_new:
            storage.replace_text(unfinished / FILE, manifest.text())
            with holding((*manifest.views, *manifest.spine_tables), reason_of(manifest.name), settings):
                publish(unfinished, target)
        there, _ = read_manifest(target)
        if there.splits == manifest.splits:
            complete(there, store, settings)
    return is_new


@faults_in_words()
def verify(manifest: Manifest, folder: Path, keep: Callable[[str, pa.Table], None] = lambda *_: None) -> None:
    """Hash every split's values anew; DataError that names the files that are missing or of other content.

    keep: called with the name and the rows of each split as read: verified rows, unless something is raised.
    """
    faults = []
    for split in manifest.splits:
        file = folder / split.file
        if not file.exists():
            faults.append(f"{split.file} is missing")
            continue
        note_reads([file])
        try:
            table = pq.read_table(file, partitioning=None)
        except (pa.ArrowException, OSError) as error:
            if isinstance(fault := known_fault(error), DiskError):
                raise fault from error
            faults.append(f"{split.file} cannot be read as Parquet")
            continue
        columns = column_hashes(table)
        if combine_hashes(table.num_rows, columns) != split.content_hash:
            faults.append(f"{split.file} {_difference_text(split, table.num_rows, columns)}")
        keep(split.name, table)
    known = {split.file for split in manifest.splits}
    faults += [f"{file.name} is no split of it" for file in paths_in(folder, "*.parquet") if file.name not in known]
    if faults:
        raise DataError(
            f"dataset {manifest.name} is not what its manifest says: {'; '.join(faults)}. Remove {folder} and bring it "
            f"back from a copy of its manifest: `features dataset rebuild MANIFEST`."
        )


def examine_datasets(settings: Settings) -> Iterator[Examined]:
    """Read every file of every dataset, and look for the versions that it pins.

    A file without a recorded checksum is held against the manifest's hashes.
    """
    for folder in dataset_folders(settings.datasets_dir):
        try:
            manifest, _ = read_manifest(folder)
        except FeaturesError as error:
            yield Examined(zone="dataset", name=folder.name, faults=[error.message])
            continue
        spine = [manifest.spine_file.path] if manifest.spine_file else []
        found = examine_folder("dataset", folder, [FILE, *(split.file for split in manifest.splits), *spine])
        if found.unrecorded and not found.faults:
            try:
                verify(manifest, folder)
            except FeaturesError as error:
                found.faults.append(error.message)
        found.faults += lost_versions((*manifest.views, *manifest.spine_tables), settings)
        yield found


def _unregistered_dataset(config: DatasetConfig, target: Path, store: FeatureStore) -> Manifest | None:
    """The dataset of this configuration that a killed process put in its place and did not register."""
    if not target.exists():
        return None
    manifest, _ = read_manifest(target)
    return manifest if manifest.config == config and not is_registered(store, manifest) else None


@dataclass(frozen=True, kw_only=True)
class _Content:
    """A dataset's rows in their order, split after split, and what is known of them."""

    table: pa.Table
    timestamp: str
    selection: Selection
    spine_rows: int
    data_end: datetime | None
    leakage: tuple[Availability, ...]

    def splits(self) -> Iterator[tuple[str, pa.Table]]:
        """Each split's rows, with a column that names it."""
        start = 0
        for name, places in self.selection.rows.items():
            rows = self.table.slice(start, len(places))
            yield name, rows.append_column(SPLIT, pa.array([name] * len(places), pa.string())).combine_chunks()
            start += len(places)


def _compute_content(config: DatasetConfig, source: Source, store: FeatureStore, settings: Settings) -> _Content:
    """The content of a dataset: a pure function of the configuration and of what is pinned."""
    resources = resources_of(store.config)
    if isinstance(source, Query):
        verify_files(file for table in source.tables for file in table.files)
    rows = rows_of(source, resources)
    spine = spine_of(rows)
    if SPLIT in spine.columns:
        raise UsageError(f"the spine has a column {SPLIT!r}, and so would the dataset. Rename the spine's column.")
    label = known_label(config, source, settings)
    selection = select(spine, config, label)
    chosen = spine_of(rows.take(pa.array(selection.order)))
    job = store.get_historical_features(
        entity_df=chosen.rows,
        features=store.get_feature_service(config.feature_service),
        full_feature_names=config.full_feature_names,
        filter_by_created_timestamp=config.as_served,
    )
    assert isinstance(job, PointInTimeJob)
    verify_files(file for stored in job.plan.stored for file in stored.history.files)
    table = job.to_arrow()
    leakage = check_leakage(
        chosen,
        table,
        job.plan.stored,
        {reference: column for column, reference in job.plan.columns.items()},
        as_served=config.as_served,
        resources=resources,
    )
    return _Content(
        table=table,
        timestamp=spine.timestamp,
        selection=selection,
        spine_rows=len(spine),
        data_end=label.known_until if label else None,
        leakage=leakage,
    )


def refuse_collisions(config: DatasetConfig, store: FeatureStore) -> None:
    """A service may have been applied in another way than by `feast apply`, which refuses these too."""
    service = store.get_feature_service(config.feature_service)
    views = {view.name: view for view in (*store.list_feature_views(), *store.list_on_demand_feature_views())}
    faults = list(collisions_of(service, views, full_names=config.full_feature_names))
    if faults:
        raise UsageError("\n".join(faults) + f"\nA dataset alone may say {FULL_NAMES}: true in its configuration.")


def _write_splits(content: _Content, folder: Path) -> Iterator[SplitContent]:
    for name, table in content.splits():
        yield _write_split(name, table, content.timestamp, folder)


def _write_split(name: str, table: pa.Table, timestamp: str, folder: Path) -> SplitContent:
    file = folder / f"{name}.parquet"
    columns = column_hashes(table)
    saved = table.replace_schema_metadata({SAVED: timestamp.encode()})
    pq.write_table(saved, storage.make_file(file), compression="zstd")
    bounds = pc.min_max(spine_of(table.select([timestamp])).moments).as_py()
    return SplitContent(
        name=name,
        file=file.name,
        rows=table.num_rows,
        content_hash=combine_hashes(table.num_rows, columns),
        first=bounds["min"],
        last=bounds["max"],
        columns=columns,
        statistics={column: statistics_of(table[column]) for column in table.column_names if column != SPLIT},
    )


def _refuse_changed_columns(query: Query, pinned: Sequence[PinnedTable]) -> None:
    before = {(str(table.zone), table.name, table.version): table.columns for table in pinned}
    for table in query.tables:
        columns = before.get((table.zone, table.name, table.version))
        if columns is not None and columns != table.columns:
            raise DataError(
                f"{table.zone}.{table.name} shows the columns {', '.join(table.columns)} now, and showed "
                f"{', '.join(columns)} to the dataset's query. Bring its contract's former columns back."
            )


def _refuse_difference(manifest: Manifest, splits: Sequence[SplitContent]) -> None:
    rebuilt = {split.name: split for split in splits}
    faults = []
    for split in manifest.splits:
        other = rebuilt.get(split.name)
        if other is None:
            faults.append(f"split {split.name} is missing")
        elif other.content_hash != split.content_hash:
            faults.append(f"split {split.name} {_difference_text(split, other.rows, other.columns)}")
    if not faults:
        return
    libraries = {
        name: (was, now) for name, was in manifest.libraries.items() if (now := _installed_version(name)) != was
    }
    listed = ", ".join(f"{name} {was} then, {now} now" for name, (was, now) in libraries.items())
    raise DataError(
        f"dataset {manifest.name} cannot be made again as it was: {'; '.join(faults)}. It was made by code "
        f"{manifest.code_revision}; this is {code_revision()}. Libraries: {listed or 'the same versions'}."
    )


def _difference_text(split: SplitContent, rows: int, columns: Mapping[str, str]) -> str:
    if rows != split.rows:
        return f"has {plural(rows, 'row')} instead of {split.rows:,}"
    names = [name for name in {**split.columns, **columns} if split.columns.get(name) != columns.get(name)]
    return f"differs in {', '.join(names) or 'the order of its columns'}"


def function_hashes(registry: Mapping[str, Any]) -> dict[str, str]:
    """The hash of every on-demand function, as the views' tags tell it."""
    return {
        f"{view['spec']['name']}:{tag.removesuffix('.hash')}": value
        for view in registry.get("on_demand_feature_views", ())
        for tag, value in sorted(view["spec"].get("tags", {}).items())
        if tag.endswith(".hash")
    }


def _installed_version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"
