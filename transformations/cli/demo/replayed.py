"""What a finished replay left, and the step of the demo that makes one where there is none of the present model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from transformations.cli.demo.models import judged_version, release_models
from transformations.cli.steps import Step, skipped
from transformations.engine.base.settings import PREFIX, Settings
from transformations.engine.base.storage import replace_text
from transformations.engine.base.words import typed_path
from transformations.engine.tables.offline_tables import OfflineTable

if TYPE_CHECKING:
    from rich.console import Console

    from transformations.cli.steps import Finished, Perform

MODEL = "household_lapse_2017"
_FILE = "found.json"


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """A replay that came to its end. of: what it began with. scores: that were served, by any version in any role, and
    held against scores in batch. traced: the prediction that was traced. report: the monitoring's page. until: the
    last moment of its clock.
    """

    of: dict[str, object]
    scores: int
    traced: str
    report: str
    until: str

    def typed(self, settings: Settings) -> str:
        """The variables before a command that looks at the replay."""
        moment = datetime.fromisoformat(self.until)
        return f"{PREFIX}DATA={typed_path(folder_of(settings))} {PREFIX}CLOCK={moment:%Y-%m-%dT%H:%M:%SZ}"


def folder_of(settings: Settings) -> Path:
    """Where the replay lies: a data folder of its own."""
    return settings.data / "replay"


def begins_with(settings: Settings) -> dict[str, object] | None:
    """What a replay now would begin with; None where the model has not passed its gates."""
    state = judged_version(MODEL, settings)
    if state is None or not state.has_passed:
        return None
    tables = [OfflineTable(folder) for folder in sorted(settings.offline_dir.glob("*"))]
    versions = {table.name: latest.version for table in tables if (latest := table.latest())}
    return {"artifact": state.registered.artifact, "tables": versions}


def write_replayed(found: Replayed, settings: Settings) -> None:
    """Say that the replay has come to its end."""
    replace_text(folder_of(settings) / _FILE, json.dumps(asdict(found), indent=2))


def read_replayed(settings: Settings) -> Replayed | None:
    """The replay of the present model and tables; None where there is none that came to its end."""
    file = folder_of(settings) / _FILE
    if not file.is_file():
        return None
    found = Replayed(**json.loads(file.read_text()))
    return found if found.of == begins_with(settings) else None


def release_and_replay(settings: Settings, terminal: Console, perform: Perform) -> Iterator[Finished]:
    """Release the models, then replay the Mondays with the one that its gates let through."""
    yield from release_models(settings, terminal, perform)
    yield from replay_mondays(settings, terminal, perform)


def replay_mondays(settings: Settings, terminal: Console, perform: Perform) -> Iterator[Finished]:
    """Replay the Mondays, unless that was done or there is no model to do it with."""
    step = Step(title="Eleven Mondays with real servers", program="features", arguments=("demo", "replay"))
    if begins_with(settings) is None:
        yield skipped(step, f"{MODEL} has not passed its gates, so nothing answers", terminal)
    elif read_replayed(settings) is not None:
        yield skipped(step, "it was replayed with this very model and these tables", terminal)
    else:
        yield perform(step)
