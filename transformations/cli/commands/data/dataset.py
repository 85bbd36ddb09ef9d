"""`features dataset`: training datasets that are pinned to what they were made from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import click

from transformations.cli.model_place import model_place
from transformations.cli.options import ExistingFile, json_option
from transformations.cli.output import print_json, print_table, progress, remark, say
from transformations.contracts.document import shown_path
from transformations.contracts.zones import zone_of_sources
from transformations.datasets.config import DatasetConfig, read_config
from transformations.engine.base.errors import FeaturesError, UsageError, nearest
from transformations.engine.base.moments import moment_text
from transformations.engine.base.settings import Settings, get_settings
from transformations.engine.base.words import plural
from transformations.insight.repository import open_store

if TYPE_CHECKING:
    from feast import FeatureStore

    from transformations.datasets.dry_run import Planned, PlannedSplit
    from transformations.datasets.manifest import Manifest, SplitContent
    from transformations.datasets.registration import Referrer

_BLIND_SPOT = (
    "it cannot know: a column of the source or spine that is known only after its event time (a flight's delay is "
    "known at departure, not at its scheduled time)"
)
_CONFIG = ExistingFile("a YAML file that describes a dataset, such as feature_repo/datasets/NAME.yaml,")


@click.group()
def dataset() -> None:
    """Make training datasets that can be made again: rows, features, label and splits, pinned to table versions.

    A dataset is a folder below `datasets` in the data folder: a Parquet file a split, and a manifest. It is never
    written again, only replaced or deleted as a whole. Feast knows it as a saved dataset:
    `store.get_saved_dataset(NAME).to_df()`.
    """


@dataset.command(
    epilog="""\b
Example of a CONFIG:
  feature_service: returning_v1
  spine:
    query: SELECT user_id, event_timestamp, label FROM ...     or file: spine.parquet
  label: {column: label, horizon: 28 days}
  split: {train: 2017-02-01, validation: 2017-07-01, test: 2017-09-15, zone: America/New_York}
  seed: 17                        the order of the rows, and which of them `sample: 0.1` keeps

\b
Without `label` the dataset is for scoring: every row of the spine, in one split unless `split` is given.

\b
Rows are left out, and counted, whose label is not known within their split: [t, t + horizon) must end in it.
"""
)
@click.argument("config", type=_CONFIG)
@click.option("--dry-run", is_flag=True, help="Tell rows, labels and pins, and write nothing.")
@click.option("--replace", is_flag=True, help="In place of the dataset of that name, while nothing refers to it.")
@click.option("--engine", type=click.Choice(["local", "spark"]), help="What joins features. [default: as configured]")
@json_option
def create(config: Path, dry_run: bool, replace: bool, engine: str | None, as_json: bool) -> None:
    """Make the dataset that CONFIG describes, from the tables as they are now, and pin their versions."""
    settings = get_settings()
    wanted = read_config(config)
    store = open_store(settings)
    if engine is not None:
        store.config.offline_store.engine = engine
    if dry_run:
        with _naming(config):
            _rehearse(wanted, config.parent, store, settings, as_json=as_json)
        return
    with _naming(config):
        _create(wanted, config.parent, store, settings, replace=replace, as_json=as_json)


def _create(
    wanted: DatasetConfig, folder: Path, store: FeatureStore, settings: Settings, *, replace: bool, as_json: bool
) -> None:
    from transformations.datasets.create import create as create_dataset

    was_there = not replace and (settings.datasets_dir / wanted.name).exists()
    with progress(f"Dataset {wanted.name}"):
        referrers = _referrers() if replace else None
        manifest = create_dataset(wanted, folder, store, settings, replace_unless=referrers)
    if was_there:
        remark(f"{wanted.name} was made at {_made_at(manifest)}, but not registered: done now")
    if as_json:
        print_json(manifest.model_dump(mode="json", exclude={"registry"}))
    else:
        _print_manifest(manifest, settings.datasets_dir / manifest.name)


@contextmanager
def _naming(config: Path) -> Iterator[None]:
    """Name the file in errors of the query that stands in it."""
    from transformations.datasets.spines import QueryError

    try:
        yield
    except QueryError as error:
        raise UsageError(f"{shown_path(config)}: {error.message}") from error


def _rehearse(wanted: DatasetConfig, folder: Path, store: FeatureStore, settings: Settings, *, as_json: bool) -> None:
    from transformations.datasets.dry_run import plan

    with progress(f"Dataset {wanted.name}"):
        planned = plan(wanted, folder, store, settings)
    if as_json:
        print_json(asdict(planned) | {"config": planned.config.model_dump(mode="json")})
    else:
        _print_planned(planned)


@dataset.command()
@click.argument("manifest", metavar="MANIFEST", type=str)
def rebuild(manifest: str) -> None:
    """Make the dataset of MANIFEST again from the versions it pins, and prove that its content is the same.

    MANIFEST is the file, its folder, or the dataset's name. The dataset is written where there is none of its name, as
    on another machine. A manifest holds code that Feast runs: rebuild only what you trust.
    """
    settings = get_settings()
    found, folder = _read_manifest_named(manifest, settings)
    store = open_store(settings)
    from transformations.datasets.create import rebuild as rebuild_dataset

    with progress(f"Rebuilding {found.name}"):
        is_written = rebuild_dataset(found, folder, store, settings)
    place = f"written to {settings.datasets_dir / found.name}" if is_written else "what is there stays"
    say(f"{found.name}: the same content, by the hash of every split; {place}")


@dataset.command()
@click.argument("manifest", metavar="MANIFEST", type=str)
def verify(manifest: str) -> None:
    """Check that the files of a dataset hold what its MANIFEST says (the file, its folder, or the dataset's name)."""
    found, folder = _read_manifest_named(manifest, get_settings())
    from transformations.datasets.create import verify as verify_dataset

    verify_dataset(found, folder)
    rows = sum(split.rows for split in found.splits)
    say(f"{found.name}: {plural(rows, 'row')} in {plural(len(found.splits), 'split')} are what the manifest says")


@dataset.command()
@click.argument("manifest", metavar="MANIFEST", type=str)
@json_option
def check(manifest: str, as_json: bool) -> None:
    """Check whether a dataset is fit to learn from (MANIFEST: the file, its folder, or the dataset's name).

    Finds rows that stand there twice, equal rows with different labels, rows that the YAML calls impossible, and labels
    that contradict a model where it is surest; each has a limit under `checks` there, and passing it ends with code 3.
    Warns of features that tell the label nearly alone, or only when they are read just before it, and of sources that
    the spine's query reads without asking since when they hold.
    """
    found, folder = _read_manifest_named(manifest, get_settings())
    from transformations.models.checking.check import check_stored, refuse_breaches

    with progress(f"Checking {found.name}"):
        findings = check_stored(found, folder, get_settings().contracts)
    if as_json:
        print_json([asdict(each) for each in findings])
    else:
        words = {True: "too much", False: "fine"}
        rows = [(each.check, "look" if each.warns else words[each.breaches], each.text) for each in findings]
        print_table(("check", "", "found"), rows)
    refuse_breaches(found.name, findings)


@dataset.command()
@click.argument("name", type=str)
def delete(name: str) -> None:
    """Take the dataset NAME away: its files, its entry in the registry, and the pins of table versions made for it.

    Refused while something refers to it. Killed in the middle, the same command again completes it.
    """
    settings = get_settings()
    store = open_store(settings)
    from transformations.datasets.deletion import delete as delete_dataset

    released = delete_dataset(name, store, settings, referrers=_referrers())
    say(f"{name} is deleted; it had pinned {plural(released, 'table version')}, which may go now")


@dataset.command(name="list")
@json_option
def list_(as_json: bool) -> None:
    """List the datasets there are."""
    found, faults = _read_manifests(get_settings())
    for fault in faults[1:]:
        remark(f"Error: {fault}")
    _print_list(found, as_json=as_json, is_whole=not faults)
    if faults:
        raise faults[0]


def _print_list(found: Sequence[Manifest], *, as_json: bool, is_whole: bool) -> None:
    """Print the datasets that can be read; is_whole: these are all."""
    if as_json:
        print_json(
            [{**_dataset_facts(each), "rows": {split.name: split.rows for split in each.splits}} for each in found]
        )
        return
    if not found and is_whole:
        remark("no dataset has been made yet: features dataset create CONFIG.yaml")
        return
    rows = [(*_dataset_facts(each).values(), sum(split.rows for split in each.splits)) for each in found]
    if rows:
        print_table(["Dataset", "Feature service", "Label", "Made", "Rows"], rows)


@dataset.command()
@click.argument("manifest", metavar="MANIFEST", type=str)
@json_option
def show(manifest: str, as_json: bool) -> None:
    """Tell what a dataset was made from and what is in it (MANIFEST: the file, its folder, or the dataset's name)."""
    found, folder = _read_manifest_named(manifest, get_settings())
    if as_json:
        print_json(found.model_dump(mode="json", exclude={"registry"}))
        return
    _print_manifest(found, folder)
    for table in (*found.views, *found.spine_tables):
        zone = {"file": "files", "raw": "raw", "offline": "offline"}[table.zone]
        version = "by content" if table.version is None else f"version {table.version}"
        definition = f", definition {table.definition_hash}" if table.definition_hash else ""
        say(f"  {zone} {table.name}: {version}, {plural(len(table.files), 'file')}{definition}")
    say(f"  code {found.code_revision}; {', '.join(f'{name} {version}' for name, version in found.libraries.items())}")


def _referrers() -> Sequence[Referrer]:
    """Who may need a dataset: what is in Feast's registry, and versions of models."""
    from transformations.models.log.datasets import referrers_with

    return referrers_with(model_place()[2])


def _print_manifest(manifest: Manifest, folder: Path) -> None:
    config = manifest.config
    say(f"{manifest.name}: {folder}")
    rows = [(split.name, split.rows, *_days_of(split, manifest), split.content_hash[:16]) for split in manifest.splits]
    print_table(["Split", "Rows", "From", "To", "Content"], rows)
    _print_counts(manifest, config)
    corrected = sum(each.corrected_since for each in manifest.leakage)
    since = f"; {plural(corrected, 'value')} corrected or come late since" if corrected else ""
    say(f"leakage check: {plural(len(manifest.leakage), 'view')}, no row from the future{since}")
    say(_BLIND_SPOT)


def _print_planned(planned: Planned) -> None:
    say(f"{planned.name}: a dry run, nothing was written")
    rows = [(split.name, split.rows, *_days_of(split, planned), _label_rate(split.label)) for split in planned.splits]
    print_table(["Split", "Rows", "From", "To", "Label"], rows)
    _print_counts(planned, planned.config)
    for table in (*planned.views, *planned.spine_tables):
        version = "by content" if table.version is None else f"version {table.version}"
        through = f", complete through {table.complete_through}" if table.complete_through else ""
        say(f"  would pin {table.zone} {table.name}: {version}{through}")
    if planned.is_there:
        say(f"there is a dataset {planned.name}: --replace would take its place while nothing refers to it")


def _label_rate(label: Mapping[str, Any]) -> str:
    """What the labels of a split are: the share of true, the mean, or the most frequent."""
    if "true" in label:
        return f"{label['true']:.2%} true"
    if "mean" in label:
        return f"mean {label['mean']:.6g}"
    return ", ".join(f"{value}: {count:,}" for value, count in label.get("most", {}).items()) or "none"


def _print_counts(made: Manifest | Planned, config: DatasetConfig) -> None:
    counts = made.counts
    left_out = [f"{count:,} {reason}" for reason, count in counts.items() if reason != "spine" and count]
    say(f"of {plural(counts['spine'], 'row')} of the spine, left out: {', '.join(left_out) or 'none'}")
    if config.label is None or made.data_end is None:
        say("no label: for scoring")
    else:
        say(f"label {config.label.column}, known until {moment_text(made.data_end, _zone_of(made), seconds=False)}")


def _days_of(split: SplitContent | PlannedSplit, made: Manifest | Planned) -> tuple[str, str]:
    """The days of a split's first and last row, in the zone in which the splits are cut."""
    zone = ZoneInfo(made.config.split.zone if made.config.split else _zone_of(made))
    return f"{split.first.astimezone(zone):%Y-%m-%d}", f"{split.last.astimezone(zone):%Y-%m-%d}"


def _zone_of(made: Manifest | Planned) -> str:
    """The zone in which a dataset's moments are shown: that of the sources its rows come from."""
    sources = [table.name for table in made.spine_tables if table.zone == "raw"]
    return zone_of_sources(sources, get_settings().contracts)


def _read_manifest_named(text: str, settings: Settings) -> tuple[Manifest, Path]:
    from transformations.datasets.manifest import FILE, read_manifest

    names = _dataset_names(settings)
    if text in names:
        return read_manifest(settings.datasets_dir / text)
    path = Path(text)
    if not path.exists():
        raise UsageError(f"{text} is neither a {FILE}, a dataset's folder, nor a dataset: {nearest(text, names)}.")
    return read_manifest(path)


def _read_manifests(settings: Settings) -> tuple[list[Manifest], list[FeaturesError]]:
    """The manifests of all datasets, and the errors of those that cannot be read."""
    found: list[Manifest] = []
    faults: list[FeaturesError] = []
    for name in _dataset_names(settings):
        try:
            found.append(_read_manifest_named(name, settings)[0])
        except FeaturesError as error:
            faults.append(error)
    return found, faults


def _dataset_names(settings: Settings) -> list[str]:
    from transformations.datasets.folders import dataset_folders

    return [folder.name for folder in dataset_folders(settings.datasets_dir)]


def _dataset_facts(manifest: Manifest) -> dict[str, str]:
    config = manifest.config
    label = config.label.column if config.label else "none"
    return {"name": manifest.name, "service": config.feature_service, "label": label, "made": _made_at(manifest)}


def _made_at(manifest: Manifest) -> str:
    return moment_text(manifest.created_at, _zone_of(manifest), seconds=False)
