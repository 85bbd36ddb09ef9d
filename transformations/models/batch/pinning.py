"""Pins for predictions: the versions of tables that they name stay readable for `predictions_keep_days`.

A pin's reason names the model and the UTC day on which predictions were made:
`predictions of user_return on 2024-05-20`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date, timedelta

from transformations.engine.base.disk_faults import folders_in
from transformations.engine.base.errors import DataError
from transformations.engine.base.settings import Settings
from transformations.engine.tables.offline_tables import OfflineTable
from transformations.engine.tables.pins import pin, pinned, unpin
from transformations.models.records.predictions import ServedView

_REASON = re.compile(r"predictions of (\w+) on (\d{4}-\d{2}-\d{2})")


def reason_of(model: str, day: date) -> str:
    """Why versions are pinned for what a model said on a day."""
    return f"predictions of {model} on {day.isoformat()}"


def is_expired(day: date, settings: Settings) -> bool:
    """Whether the versions behind predictions that were made on a day need not be there any more."""
    return day + timedelta(days=settings.predictions_keep_days) < settings.now().date()


def pin_views(views: Mapping[str, ServedView], model: str, day: date, settings: Settings) -> list[str]:
    """Pin the versions of our tables that predictions of a day name; which of them are gone already, as `view@version`.

    A day that has expired pins nothing.
    """
    gone: list[str] = []
    for name, view in () if is_expired(day, settings) else sorted(views.items()):
        table = OfflineTable(settings.offline_dir / name)
        if view.table_version is None or not table.exists():
            continue
        if reason_of(model, day) in pinned(table).get(view.table_version, ()):
            continue
        try:
            pin(table, view.table_version, reason_of(model, day))
        except DataError:
            gone.append(f"{name}@{view.table_version}")
    return gone


def release_expired(settings: Settings) -> int:
    """Take away the pins of days that have expired; how many there were."""
    return sum(
        unpin(table, version, reason)
        for table, version, reason in list(_pins(settings))
        if (found := _REASON.fullmatch(reason)) and is_expired(date.fromisoformat(found[2]), settings)
    )


def _pins(settings: Settings) -> Iterator[tuple[OfflineTable, int, str]]:
    for path in folders_in(settings.offline_dir):
        table = OfflineTable(path)
        yield from ((table, version, each) for version, reasons in pinned(table).items() for each in reasons)
