"""A model as it is watched: its versions with their baselines, its owners, what its features are worth."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from pathlib import Path

from feast import FeatureStore

from transformations.engine.base.disk_faults import known_fault
from transformations.engine.base.errors import DataError
from transformations.engine.base.files.published import pull, pull_all, replacing
from transformations.engine.base.settings import Settings
from transformations.insight.governance.owners import Ownership, read_ownership
from transformations.models.declaration.config import Declaration
from transformations.models.declaration.monitoring import ModelMonitoring
from transformations.models.declaration.reading import model_names, read_declared
from transformations.models.log.event_log import EventLog
from transformations.models.log.standing import Standing, VersionState
from transformations.models.predictions.replay import Replayer
from transformations.models.records.reference import Reference
from transformations.models.training import pinned_dataset
from transformations.models.versions import artifact_folder, artifact_of, dataset_of, judgement_of, standing
from transformations.monitoring.reading.baseline import Learned, make_baseline, setting_of
from transformations.monitoring.reading.config import Monitoring, read_monitoring
from transformations.monitoring.reading.history import model_folder
from transformations.monitoring.reading.records import Baseline
from transformations.monitoring.reading.stored import Populations, Snapshots

_REFERENCE = "reference.json"


@dataclass(frozen=True)
class Watched:
    """A model in its repository. Everything is read once, when it is first asked for.

    open_store: gives Feast's store of the repository; without it stored values are not read, and skew is not measured.
    """

    model: str
    repository: Path
    log: EventLog
    settings: Settings
    _: KW_ONLY
    open_store: Callable[[], FeatureStore] | None = None

    @cached_property
    def standing(self) -> Standing:
        """Its versions. UsageError where it has none."""
        return standing(self.model, self.log)

    @cached_property
    def config(self) -> Monitoring:
        """What holds for all models."""
        return read_monitoring(self.repository)

    @cached_property
    def declaration(self) -> Declaration | None:
        """The model's declaration as it stands now; None where the repository no longer has one."""
        return read_declared(self.repository, self.model) if self.model in model_names(self.repository) else None

    @property
    def declared(self) -> ModelMonitoring:
        """What is particular to the model."""
        return self.declaration.monitoring if self.declaration else ModelMonitoring()

    @property
    def runbook(self) -> str:
        """Where an alert about the model leads to."""
        return self.declared.runbook or self.config.runbook

    @cached_property
    def ownership(self) -> Ownership | None:
        """Who is who."""
        return read_ownership(self.repository)

    def owner_of(self, version: int, view: str | None) -> str:
        """Who answers for a view, as the version's dataset knew it; for the model without one."""
        if view is not None:
            registry = dataset_of(self.model, self.state(version), self.settings).registry
            for each in (*registry.get("feature_views", ()), *registry.get("on_demand_feature_views", ())):
                if each["spec"]["name"] == view and each["spec"].get("owner"):
                    return str(each["spec"]["owner"])
        return self.owner

    @property
    def owner(self) -> str:
        """Who answers for the model."""
        if self.declaration:
            return self.declaration.owner
        facts = artifact_of(self.model, self.standing.newest(), self.settings).manifest.facts
        return str(facts.declaration.get("owner", ""))

    def contact(self, owner: str) -> str:
        """How an owner is reached; the owner's name where nothing says so."""
        known = self.ownership.owners.get(owner) if self.ownership else None
        return known.contact if known else owner

    def state(self, version: int) -> VersionState:
        """A version."""
        return self.standing.version(version)

    def importance(self, version: int) -> Mapping[str, float]:
        """By input, how much worse the version's loss gets without it; nothing of a version that was not judged."""
        judgement = judgement_of(self.model, self.state(version), self.settings)
        return {each.feature: each.increase for each in judgement.evaluation.importance} if judgement else {}

    @cached_property
    def store(self) -> FeatureStore | None:
        """Feast's store of the repository."""
        return self.open_store() if self.open_store is not None else None

    @contextmanager
    def replaying(self) -> Iterator[Replayer | None]:
        """What computes recorded predictions again, for as many days as are judged; None without a store, or where no
        sample is compared.
        """
        if self.store is None or not self.config.sample:
            yield None
            return
        with Replayer(self.log, self.store, self.settings) as replayer:
            yield replayer

    def snapshots(self, version: int) -> Snapshots | None:
        """What reads the tables for a version's population; None without a store."""
        if self.store is None:
            return None
        if version not in self._snapshots:
            state = self.state(version)
            artifact = artifact_of(self.model, state, self.settings)
            dataset = dataset_of(self.model, state, self.settings)
            self._snapshots[version] = Snapshots(
                baseline=self.baseline(version),
                artifact=artifact,
                dataset=dataset,
                known=self._populations,
                store=self.store,
                settings=self.settings,
            )
        return self._snapshots[version]

    @cached_property
    def _snapshots(self) -> dict[int, Snapshots]:
        return {}

    @cached_property
    def _populations(self) -> Populations:
        return Populations()

    def baseline(self, version: int) -> Baseline:
        """What the version's days are held against: as it was made before, or made now and kept."""
        setting = setting_of(self.declared, self.config)
        folder = model_folder(self.model, self.settings) / "baselines"
        file = folder / f"v{version}-{setting[:12]}.json"
        pull(file)
        if file.is_file():
            found = _read_baseline(file)
            if found.artifact == self.state(version).registered.artifact and found.setting == setting:
                return found
        known = [_read_baseline(each) for each in pull_all(folder, f"v*-{setting[:12]}.json")]
        made = make_baseline(self._learned(version), self.config, self.settings, known)
        with replacing(file) as draft:
            draft.write_text(made.text(), encoding="utf-8")
        return made

    def _learned(self, version: int) -> Learned:
        state = self.state(version)
        artifact = artifact_of(self.model, state, self.settings)
        dataset = pinned_dataset(state.registered.dataset, self.settings)
        if dataset.hash != state.registered.dataset_hash:
            raise DataError(
                f"dataset {dataset.manifest.name} was made anew since version {version} of model {self.model} was "
                f"trained, and its baseline has to come from what it learned from. Bring the old one back from a copy "
                f"of its manifest, or watch a version that learned from the new one."
            )
        path = artifact_folder(self.model, state, self.settings) / _REFERENCE
        evaluation = artifact.manifest.facts.declaration.get("evaluation")
        entity = str(evaluation["entity"]) if isinstance(evaluation, dict) else ""
        return Learned(
            model=self.model,
            number=version,
            artifact=artifact,
            reference=Reference.from_text(path.read_text(encoding="utf-8"), str(path)),
            dataset=dataset,
            declared=self.declared,
            entity=entity,
        )


def _read_baseline(file: Path) -> Baseline:
    try:
        return Baseline.from_text(file.read_text(encoding="utf-8"), str(file))
    except OSError as error:
        raise known_fault(error) or error from error
