"""Performs the five checks of reproducibility, and dates the result of each."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from feast import FeatureStore

from transformations.engine.base.disk_faults import faults_in_words
from transformations.engine.base.errors import DataError, FeaturesError, UsageError
from transformations.engine.base.files.published import bring_all, replacing
from transformations.engine.base.moments import as_utc, minute_text
from transformations.engine.base.settings import Settings
from transformations.models.batch.publishing import batches_folder, read_batch
from transformations.models.log.event_log import EventLog
from transformations.models.log.standing import VersionState
from transformations.models.records.checklist import FILE, Checklist, CheckName, PerformedCheck
from transformations.models.reproducing.rehearsal import rehearse_rollback
from transformations.models.reproducing.reproduce import rebuild_dataset, retrain
from transformations.models.reproducing.tracing import trace
from transformations.models.training import pinned_dataset
from transformations.models.versions import standing

CI_PASSED = Path(".ci") / "passed"
"""Where CI leaves the moment at which a clean checkout, set up as the README says, passed all tests."""
Done = Callable[[PerformedCheck], None]
_NOTHING_BEFORE = PerformedCheck(
    check="rollback",
    answer="not applicable",
    at=None,
    found="nothing to roll back to: production had no version before",
)


@faults_in_words()
def perform_checklist(
    name: str,
    number: int | None,
    log: EventLog,
    store: FeatureStore,
    settings: Settings,
    *,
    done: Done = lambda _check: None,
) -> Checklist:
    """Perform the checks for a version (by default production's, else the newest), and keep what came of them.

    dataset: computed anew from its pins. retrain: its artifact made again. rollback: rehearsed, timed. trace: a random
    prediction of its batches. setup: when CI last followed the README. A check that fails, or evidence that is older
    than the version, is a "no" and no error. Where production had no version before, there is nothing to roll back to,
    which is neither a "yes" nor a "no". UsageError where there is no such version.
    """
    known = standing(name, log)
    state = (known.production or known.newest()) if number is None else known.version(number)
    checks = []
    for check, perform in _checks(name, state, log, store, settings):
        is_first = check == "rollback" and known.previous is None
        performed = _NOTHING_BEFORE if is_first else _performed(check, perform, settings)
        checks.append(performed)
        done(performed)
    setup = _setup(state, settings)
    done(setup)
    made = Checklist(
        model=name,
        version=state.number,
        artifact=state.registered.artifact,
        registered_at=state.registered_at,
        at=settings.now(),
        checks=(*checks, setup),
    )
    with replacing(settings.models_dir / name / FILE) as draft:
        draft.write_text(made.text(), encoding="utf-8")
    return made


def _checks(
    name: str, state: VersionState, log: EventLog, store: FeatureStore, settings: Settings
) -> Iterator[tuple[CheckName, Callable[[], str]]]:
    def dataset() -> str:
        made = rebuild_dataset(name, state, store, settings)
        return f"{made.manifest.name} was computed anew from its pins, with the same content"

    def again() -> str:
        made = retrain(name, state, pinned_dataset(state.registered.dataset, settings), settings)
        if made.is_same:
            return f"the same artifact {made.artifact[:12]}, bit for bit"
        return f"scores differ by {made.largest_difference:.2g} at most ({'; '.join(made.elsewhere)})"

    def rollback() -> str:
        rehearsed = rehearse_rollback(name, log, settings)
        return (
            f"rehearsed from version {rehearsed.from_version} to {rehearsed.to_version} in {rehearsed.seconds:.2f} s, "
            f"{rehearsed.rows:,} rows scored"
        )

    def traced() -> str:
        batch, row = _any_prediction(name, state, settings)
        found = trace(batch, row, log, store, settings)
        return (
            f"{found.record.id}: run {found.run_id}, dataset {found.dataset}, {', '.join(found.tables)}; the same "
            f"score today"
        )

    yield "dataset", dataset
    yield "retrain", again
    yield "rollback", rollback
    yield "trace", traced


def _performed(check: CheckName, perform: Callable[[], str], settings: Settings) -> PerformedCheck:
    at, began = settings.now(), time.monotonic()
    try:
        found = perform()
    except FeaturesError as error:
        return PerformedCheck(
            check=check, answer="no", at=at, seconds=time.monotonic() - began, found=error.message.splitlines()[0]
        )
    return PerformedCheck(check=check, answer="yes", at=at, seconds=time.monotonic() - began, found=found)


def _any_prediction(name: str, state: VersionState, settings: Settings) -> tuple[Path, int]:
    """A batch of the version, and a row of it, both by chance."""
    batches = bring_all(batches_folder(name, settings), f"[!.@]*-v{state.number}")
    if not batches:
        raise UsageError(
            f"version {state.number} has published no prediction yet: features model predict {name} --as-of DAY"
        )
    batch = random.choice(sorted(batches))
    return batch, random.randrange(read_batch(batch).total)


def _setup(state: VersionState, settings: Settings) -> PerformedCheck:
    file = settings.project_root / CI_PASSED
    try:
        at: datetime | None = as_utc(datetime.fromisoformat(file.read_text(encoding="utf-8").split()[0]))
    except FileNotFoundError:
        at = None
    except (ValueError, IndexError):
        raise DataError(f"{file} holds no moment. Run .ci/run, which writes it.") from None
    if at is None:
        return PerformedCheck(check="setup", answer="no", at=None, found="CI has not passed here yet: .ci/run")
    text = minute_text(at)
    if at < state.registered_at:
        since = minute_text(state.registered_at)
        found = f"CI passed at {text}, before version {state.number} was registered ({since}): .ci/run"
        return PerformedCheck(check="setup", answer="no", at=at, found=found)
    return PerformedCheck(check="setup", answer="yes", at=at, found=f"CI followed the README and passed at {text}")
