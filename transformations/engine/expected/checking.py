"""The check of a run's rows before they are published: the table as it would be, as-of its newest day.

It looks at every entity, not at the changed rows alone: what a quiet source no longer delivers changes no row for the
worse, yet lets the distribution drift.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

from transformations.engine.base.errors import DataError
from transformations.engine.base.words import plural
from transformations.engine.expected.candidates import keep_aside
from transformations.engine.expected.files import path_of
from transformations.engine.expected.judging import Breach, breaches
from transformations.engine.expected.measured import snapshots
from transformations.engine.expected.model import ExpectedView
from transformations.engine.expected.unfit import unknown_features
from transformations.engine.tables.offline_tables import OfflineTable, Run, TableVersion
from transformations.engine.vocabulary.resolution import Resolved

_SHOWN = 10


def as_of_day(run: Run) -> date:
    """The newest as-of day that a run's table covers."""
    return run.complete_through + timedelta(days=1)


class UnexpectedValuesError(DataError):
    """A run's values are not distributed as the view's expectations say; none of its rows is published."""


def checked_run(
    resolved: Resolved,
    expected: ExpectedView | None,
    table: OfflineTable,
    previous: TableVersion | None,
    run: Run,
    folder: Path,
    *,
    files: Sequence[str],
    accept: bool,
    expectations: Path,
) -> Run:
    """The run with the broken rules that do not stop it: those that only warn or, where accepted, all of them.

    folder: of the run's new files; files: these, relative to the table. Raises UnexpectedValuesError where a rule stops
    it; the files are then kept aside.
    """
    if expected is None or not run.rows:
        return run
    kept = previous if previous is not None and not run.replaces_all else None
    content = [*(kept.files if kept else ()), *(str(table.path / file) for file in files)]
    rows = run.rows + (kept.rows if kept else 0)
    found = found_breaches(resolved, expected, content, rows, as_of_day(run))
    stopping = [breach for breach in found if breach.stops]
    if stopping and not accept:
        raise _refuse(table, run, previous, folder, stopping, expectations)
    warned = [f"{name}: the view has no such feature, yet rules" for name in unknown_features(resolved, expected)]
    warned += [str(breach) for breach in found if not breach.stops]
    return replace(run, warned=tuple(warned), accepted=tuple(map(str, stopping)))


def found_breaches(
    resolved: Resolved, expected: ExpectedView, files: Sequence[str], rows: int, as_of: date
) -> list[Breach]:
    """The rules that the content of these files breaks as-of a day. rows: how many the files hold."""
    names = [each.name for each in resolved.features if each.name in expected.features]
    if not files or not (names or expected.entities) or as_of < expected.first:
        return []
    with snapshots(resolved, files, rows, [as_of], names) as found:
        return [breach for snapshot in found for breach in breaches(snapshot, expected)]


def _refuse(
    table: OfflineTable,
    run: Run,
    previous: TableVersion | None,
    folder: Path,
    stopping: Sequence[Breach],
    expectations: Path,
) -> UnexpectedValuesError:
    """Keep a run's rows aside; the error that says why, and what to do."""
    as_of = as_of_day(run)
    after = None if previous is None else previous.version
    record = {
        "after": after,
        "as_of": as_of.isoformat(),
        "at": run.started_at.isoformat(),
        "kind": run.kind,
        "definition_hash": run.definition_hash,
        "replaces_all": run.replaces_all,
        "rows": run.rows,
        "breaches": [breach.document() for breach in stopping],
    }
    keep_aside(table, folder, record)
    lines = [f"  {breach}" for breach in stopping[:_SHOWN]]
    if len(stopping) > _SHOWN:
        lines.append(f"  and {len(stopping) - _SHOWN} more")
    keeps = "The table stays empty" if after is None else f"Version {after} stays the newest"
    return UnexpectedValuesError(
        f"{run.view}: its values as-of {as_of} break {plural(len(stopping), 'rule')} of "
        f"{path_of(run.view, expectations)}:\n" + "\n".join(lines) + f"\n{keeps}; what was computed is kept aside: "
        f"`features show {run.view}`. Mend the source and build again. If the values are right, publish them with "
        f"`features build --accept {run.view}`, then measure anew with `features expect {run.view}`."
    )
