"""Where the commands about models work: settings, repository and the log of versions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from transformations.engine.base.settings import Settings, get_settings
from transformations.insight.repository import repository_folder

if TYPE_CHECKING:
    from transformations.models.log.event_log import EventLog


def model_place() -> tuple[Settings, Path, EventLog]:
    """The settings, the feature repository's folder and its project's log."""
    from transformations.models.log.event_log import log_of

    settings = get_settings()
    repository = repository_folder(settings)
    return settings, repository, log_of(repository)
