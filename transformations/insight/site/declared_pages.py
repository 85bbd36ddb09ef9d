"""The pages of datasets and models: what is declared, and what was made of it, by manifest and by log."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from transformations.datasets.config import DatasetConfig
from transformations.datasets.manifest import Manifest, PinnedTable, SplitContent, read_manifest
from transformations.engine.base.errors import FeaturesError
from transformations.engine.base.moments import moment_text
from transformations.engine.base.settings import Settings
from transformations.engine.base.words import plural
from transformations.engine.lineage.names import project_of
from transformations.insight.lineage.declared import Declared
from transformations.insight.site.lineage_drawings import LineageDrawings
from transformations.insight.site.pages import Address, Example, Fact, Members, Page, PageKind, Piece
from transformations.models.declaration.config import Declaration
from transformations.models.log.event_log import EventLog
from transformations.models.log.standing import Standing, VersionState, standing_of

_HASH = 12
"""So many digits of a hash are shown."""
_NOT_OF_CONTENT = {"description", "owner", "tags", "checks"}
"""What a dataset's rows do not depend on."""
_READ = """\
from feast import FeatureStore

store = FeatureStore("feature_repo")
store.get_saved_dataset(%r).to_df()"""


@dataclass(frozen=True, kw_only=True)
class Made:
    """What was made of declarations. manifests: by dataset, or what is wrong with one; standings: by model."""

    manifests: Mapping[str, Manifest | str]
    standings: Mapping[str, Standing]


def read_made(declared: Declared, settings: Settings) -> Made:
    """Manifests and standings of what is declared; nothing of what was never made."""
    manifests: dict[str, Manifest | str] = {}
    for dataset in declared.datasets:
        folder = settings.datasets_dir / dataset.name
        if folder.is_dir():
            try:
                manifests[dataset.name] = read_manifest(folder)[0]
            except FeaturesError as error:
                manifests[dataset.name] = error.message
    standings: dict[str, Standing] = {}
    if declared.models and (settings.registry_url is not None or settings.registry_path.exists()):
        log = EventLog(project_of(settings).name)
        standings = {each.name: standing_of(each.name, log.events(each.name)) for each in declared.models}
    return Made(manifests=manifests, standings=standings)


@dataclass(frozen=True, kw_only=True)
class DeclaredPages:
    """Makes the pages. fact: links the words of a fact to pages; features: the table of a service's features."""

    declared: Declared
    made: Made
    drawings: LineageDrawings
    fact: Callable[[str, str], Fact]
    features: Callable[[str, Sequence[str]], Members]

    def pages(self) -> Iterator[Page]:
        """Datasets, then models."""
        yield from map(self._page_of_dataset, self.declared.datasets)
        yield from map(self._page_of_model, self.declared.models)

    def _page_of_dataset(self, dataset: DatasetConfig) -> Page:
        address = Address(PageKind.DATASET, dataset.name)
        found = self.made.manifests.get(dataset.name)
        manifest = found if isinstance(found, Manifest) else None
        spine = (Example("Spine", dataset.spine.query.strip()),) if dataset.spine.query else ()
        models = [each.name for each in self.declared.models if each.dataset == dataset.name]
        facts = [
            ("Owner", dataset.owner),
            ("Service", dataset.feature_service),
            ("Models", ", ".join(models)),
            *_facts_of_dataset(dataset),
            ("Made", _made_text(dataset, found)),
            *(_facts_of_manifest(manifest) if manifest else ()),
            ("Tags", _tags_text(dataset.tags)),
        ]
        return Page(
            address=address,
            title=dataset.name,
            summary=dataset.description,
            facts=tuple(self.fact(label, text) for label, text in facts if text),
            members=(_splits(manifest), _pins(manifest)) if manifest else (),
            drawing=self.drawings.around_holder(address),
            examples=(
                *spine,
                Example("Make it", f"features dataset create feature_repo/datasets/{dataset.name}.yaml"),
                Example("Read it", _READ % dataset.name),
            ),
        )

    def _page_of_model(self, model: Declaration) -> Page:
        address = Address(PageKind.MODEL, model.name)
        dataset = next((each for each in self.declared.datasets if each.name == model.dataset), None)
        standing = self.made.standings.get(model.name)
        facts = [
            ("Owner", model.owner),
            ("Dataset", model.dataset),
            ("Service", dataset.feature_service if dataset else ""),
            *_facts_of_model(model),
            ("Tags", _tags_text(model.tags)),
        ]
        members = [_versions(standing)] if standing and standing.versions else []
        if dataset is not None:
            members.append(self.features(dataset.feature_service, model.leave_out))
        return Page(
            address=address,
            title=model.name,
            summary=model.description,
            facts=tuple(self.fact(label, text) for label, text in facts if text),
            members=tuple(members),
            drawing=self.drawings.around_holder(address),
            examples=(
                Example("Train it", f"features model train {model.name}"),
                Example("Judge its newest version", f"features model evaluate {model.name}"),
                Example("Look at its versions", f"features model show {model.name}"),
            ),
        )


def _facts_of_dataset(dataset: DatasetConfig) -> Iterator[tuple[str, str]]:
    split, label = dataset.split, dataset.label
    yield "Spine", "the query below" if dataset.spine.query else f"the file {dataset.spine.file}"
    horizon = label.model_dump(mode="json")["horizon"] if label else ""
    yield "Label", f"{label.column}, known {horizon} after each row's moment" if label else "none: for scoring"
    yield "Splits from", ", ".join(f"{name} {value}" for name, value in split if value) if split else ""
    yield "Sample", f"{100 * dataset.sample:g} % of the rows" if dataset.sample is not None else ""
    yield "Values", "as they were known" if dataset.as_served else "as corrected since"


def _made_text(dataset: DatasetConfig, found: Manifest | str | None) -> str:
    if found is None:
        return "not yet"
    if isinstance(found, str):
        return f"damaged: {found}"
    content = [each.model_dump(exclude=_NOT_OF_CONTENT) for each in (found.config, dataset)]
    since = "" if content[0] == content[1] else ", by a declaration that has changed since: make it anew to follow it"
    return f"{_minute(found.created_at)}, by code {found.code_revision[:_HASH]}{since}"


def _facts_of_manifest(manifest: Manifest) -> Iterator[tuple[str, str]]:
    left_out = [(reason.replace("_", " "), count) for reason, count in manifest.counts.items() if reason != "spine"]
    yield "Rows", f"{sum(each.rows for each in manifest.splits):,} of {manifest.counts.get('spine', 0):,} in the spine"
    yield "Left out", "; ".join(f"{count:,} {reason}" for reason, count in left_out if count)
    yield "Labels known until", _minute(manifest.data_end) if manifest.data_end else ""
    late = sum(each.corrected_since for each in manifest.leakage)
    since = f"; {plural(late, 'value')} corrected after the row's moment" if late else ""
    yield "Leakage check", f"no row from the future in {plural(len(manifest.leakage), 'view')}{since}"


def _splits(manifest: Manifest) -> Members:
    label = manifest.config.label
    return Members(
        "Splits",
        ("Rows", "First row", "Last row", f"Label {label.column}" if label else "Label", "Content"),
        tuple((Piece(each.name), _cells_of_split(each, label.column if label else None)) for each in manifest.splits),
    )


def _cells_of_split(split: SplitContent, label: str | None) -> tuple[str, ...]:
    known = split.statistics.get(label, {}) if label else {}
    text = f"{100 * known['true']:.2f} % true" if "true" in known else ""
    text = f"mean {known['mean']:.6g}" if known.get("mean") is not None else text
    return f"{split.rows:,}", _minute(split.first), _minute(split.last), text, split.content_hash[:_HASH]


def _pins(manifest: Manifest) -> Members:
    tables = [*manifest.views, *manifest.spine_tables]
    return Members(
        "Pinned tables",
        ("Version", "Complete through", "Read by"),
        tuple(
            (_pinned_piece(each), _cells_of_pin(each, "the features" if each in manifest.views else "the spine"))
            for each in tables
        ),
    )


def _pinned_piece(table: PinnedTable) -> Piece:
    if table.zone == "raw":
        return Piece(table.name, Address(PageKind.SOURCE, table.name).href)
    return Piece(table.name, Address(PageKind.VIEW, table.name).href)


def _cells_of_pin(table: PinnedTable, reader: str) -> tuple[str, ...]:
    version = "by content" if table.version is None else str(table.version)
    return version, str(table.complete_through or ""), reader


def _facts_of_model(model: Declaration) -> Iterator[tuple[str, str]]:
    yield "Task", model.task.replace("_", " ")
    settings = ", ".join(f"{name} {value}" for name, value in model.hyperparameters.items())
    yield "Trainer", model.trainer
    yield "Hyperparameters", settings
    yield "Leaves out", ", ".join(model.leave_out)
    yield "Of the request", ", ".join(model.request_fields)
    yield "Transformations", ", ".join(f"{name} {each.kind}" for name, each in model.transformations.items())
    yield "Calibration", "" if model.calibration == "none" else model.calibration
    yield "Decision", _decision_text(model)
    yield "Baselines", ", ".join(model.evaluation.baselines)
    yield "Gates", "\n".join(gate.name for gate in model.evaluation.gates) or "none: no version can leave development"
    yield "Judged by", f"intervals that resample {model.evaluation.entity}"
    yield "Business", "\n".join(f"{each.name} in {each.unit}, to go {each.direction}" for each in model.business)
    yield "Approval", "a second person's" if model.approval == "required" else ""


def _decision_text(model: Declaration) -> str:
    rule = model.decision
    if rule is None:
        return ""
    if rule.threshold is not None:
        return f"at a score of {rule.threshold:g} or more"
    if rule.costs is not None:
        costs = rule.costs
        return (
            f"where it pays: {costs.true_positive:g} {costs.unit} for a true positive, {costs.false_positive:g} for a "
            f"false one"
        )
    return f"on the {rule.top_k_a_day} rows a day of highest score"


def _versions(standing: Standing) -> Members:
    return Members(
        "Versions",
        ("Stage", "Since", "Trained on", "Gates", "Artifact"),
        tuple((Piece(f"version {each.number}"), _cells_of_version(each)) for each in _newest_first(standing)),
    )


def _newest_first(standing: Standing) -> list[VersionState]:
    return [standing.versions[number] for number in sorted(standing.versions, reverse=True)]


def _cells_of_version(state: VersionState) -> tuple[str, ...]:
    gates = "not judged" if state.evaluation is None else "passed" if state.has_passed else "not passed"
    return state.stage, _minute(state.since), state.registered.dataset, gates, state.registered.artifact[:_HASH]


def _tags_text(tags: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted(tags.items()))


def _minute(moment: datetime) -> str:
    return moment_text(moment.replace(second=0, microsecond=0), "UTC", seconds=False)
