"""The append-only log of models: tables of ours beside Feast's own, in the same database.

An event is appended under the number that its writer expects. The primary key lets one of two writers of a number win;
the other is told, and nothing of it is written. No event is ever changed or removed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path

from sqlalchemy import Column, Engine, Integer, MetaData, String, Table, Text, create_engine, insert, inspect, select
from sqlalchemy.exc import IntegrityError, ProgrammingError
from sqlalchemy.schema import CreateTable

from transformations.contracts.document import read_yaml
from transformations.engine.base.errors import ConflictError, UsageError
from transformations.models.records.events import ModelEvent

REGISTRY = "sqlite://?plugin=features"
"""The settings' registry, as feature_store.yaml names it."""
_ATTEMPTS = 20
_EVENTS = Table(
    "features_model_events",
    MetaData(),
    Column("project_id", String(255), primary_key=True),
    Column("model_name", String(255), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("event", Text, nullable=False),
)


class EventLog:
    """The events of a project's models. Every method is one transaction. url: of another database than the registry's,
    to try something out in.
    """

    def __init__(self, project: str, url: str = REGISTRY) -> None:
        self.project = project
        self.url = url

    def models(self) -> list[str]:
        """The models that have events, by name."""
        if not self._is_begun:
            return []
        names = select(_EVENTS.c.model_name).where(_EVENTS.c.project_id == self.project).distinct()
        with self._engine.connect() as connection:
            return sorted(connection.execute(names).scalars())

    def events(self, model: str) -> tuple[ModelEvent, ...]:
        """The events of a model, oldest first; none of a model that has none."""
        if not self._is_begun:
            return ()
        found = select(_EVENTS.c.number, _EVENTS.c.event).where(
            _EVENTS.c.project_id == self.project, _EVENTS.c.model_name == model
        )
        with self._engine.connect() as connection:
            rows = connection.execute(found.order_by(_EVENTS.c.number)).all()
        return tuple(ModelEvent.from_text(row.event, f"event {row.number} of model {model}") for row in rows)

    def append(self, event: ModelEvent) -> None:
        """Write an event down as the number it carries. ConflictError where another one has that number already."""
        row = {
            "project_id": self.project,
            "model_name": event.model,
            "number": event.number,
            "event": event.model_dump_json(),
        }
        try:
            with self._with_table.begin() as connection:
                connection.execute(insert(_EVENTS).values(row))
        except IntegrityError:
            raise ConflictError(
                f"model {event.model}: another event was written as number {event.number} first. Nothing was written "
                f"by this one; repeat the command."
            ) from None

    def extend(self, model: str, make: Callable[[tuple[ModelEvent, ...]], ModelEvent]) -> ModelEvent:
        """Append what `make` makes of the events there are; where another writer was first, ask it again.

        `make` numbers its event one beyond the last, and refuses by raising where the events no longer allow it.
        """
        for attempt in range(_ATTEMPTS):
            event = make(self.events(model))
            try:
                self.append(event)
            except ConflictError:
                if attempt == _ATTEMPTS - 1:
                    raise
            else:
                return event
        raise AssertionError("the last attempt returned or raised")

    @cached_property
    def _engine(self) -> Engine:
        """The registry's database."""
        return create_engine(self.url)

    @property
    def _is_begun(self) -> bool:
        """Whether anything was ever written: reading makes no table."""
        return "_with_table" in vars(self) or inspect(self._engine).has_table(_EVENTS.name)

    @cached_property
    def _with_table(self) -> Engine:
        """The database, with our table in it."""
        try:
            with self._engine.begin() as connection:
                connection.execute(CreateTable(_EVENTS, if_not_exists=True))
        except (IntegrityError, ProgrammingError):  # PostgreSQL, where two processes make it at once
            with self._engine.begin() as connection:
                connection.execute(CreateTable(_EVENTS, if_not_exists=True))
        return self._engine


def log_of(repository: Path) -> EventLog:
    """The log of a feature repository's project, in the registry that the settings name."""
    document = read_yaml(repository / "feature_store.yaml")
    if not isinstance(document, Mapping) or not isinstance(document.get("project"), str):
        raise UsageError(f"{repository / 'feature_store.yaml'} names no project. Add `project: NAME`.")
    return EventLog(document["project"])
