"""The versions of declared models that are in use, and the datasets they were trained on, as the log has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from transformations.engine.base.settings import Settings
from transformations.engine.lineage.names import project_of
from transformations.insight.lineage.graph import Kind, Lineage, Thing
from transformations.models.log.event_log import EventLog
from transformations.models.log.standing import standing_of


@dataclass(frozen=True, kw_only=True)
class TrainedVersion:
    """A version of a model that is not archived. trained_on: its dataset; declared: the one of the declaration today.

    dataset_hash: of the manifest of the dataset that it was trained on.
    """

    model: str
    version: int
    stage: str
    trained_on: str
    dataset_hash: str
    declared: str | None

    @property
    def differs(self) -> bool:
        """Whether the version was trained on another dataset than is declared."""
        return self.trained_on != self.declared

    def __str__(self) -> str:
        now = f", now declared from {self.declared}" if self.differs else ""
        return f"version {self.version} of {self.model}, in {self.stage}: trained on {self.trained_on}{now}"


def trained_versions(things: Sequence[Thing], lineage: Lineage, settings: Settings) -> list[TrainedVersion]:
    """Of the models among these things, the versions that are not archived, in the order of their numbers."""
    models = [thing for thing in things if thing.kind is Kind.MODEL]
    if not models or (settings.registry_url is None and not settings.registry_path.exists()):
        return []
    log = EventLog(project_of(settings).name)
    return [each for thing in models for each in _of_model(thing, log, lineage)]


def _of_model(thing: Thing, log: EventLog, lineage: Lineage) -> list[TrainedVersion]:
    declared = next((arrow.origin.name for arrow in lineage.read_by(thing)), None)
    standing = standing_of(thing.name, log.events(thing.name))
    return [
        TrainedVersion(
            model=thing.name,
            version=state.number,
            stage=state.stage,
            trained_on=state.registered.dataset,
            dataset_hash=state.registered.dataset_hash,
            declared=declared,
        )
        for state in standing.versions.values()
        if state.stage != "archived"
    ]
