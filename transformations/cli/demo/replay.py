"""Eleven Mondays of the demo's year, as a team would have lived them: real servers, one clock, two rollouts.

1 to 4     version 1 answers; a challenger goes from shadow to 10 %, to 50 %, to production
5 and 6    another challenger, whose gates somebody has thinned out, is stopped in shadow
7          a quiet week
8 to 11    one feature drifts, another one is frozen

Each Monday the online store is loaded with what was known by six in the morning, every household that came within 56
days is asked about, and the rollout is judged. At the end every score that was served, by whatever version and in
whatever role, is held against the same version's scores in batch.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shlex
import shutil
import socket
import subprocess
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml

from transformations.cli.demo import asking, faults
from transformations.cli.demo.models import judged_version
from transformations.cli.demo.replay_place import ReplayPlace
from transformations.cli.demo.replayed import MODEL, Replayed, begins_with, folder_of, write_replayed
from transformations.cli.main import run
from transformations.cli.output import say
from transformations.datasets.manifest import read_manifest
from transformations.engine.base.errors import DataError, ServiceUnavailableError, UsageError
from transformations.engine.base.settings import Settings, get_settings, present_moment
from transformations.insight.repository import open_store, repository_folder
from transformations.local import redis
from transformations.models.batch.publishing import predictions_of
from transformations.models.log.event_log import EventLog, log_of
from transformations.models.predictions.published import served_folder
from transformations.models.rollout.control.controller import controller_of
from transformations.models.rollout.deciding import running
from transformations.models.versions import standing
from transformations.orchestration.processes import executable

DATASET, SERVICE = "household_lapse_2017", "household_lapse_v1"
MONDAYS, BAD_MONDAYS = 11, 4
CHALLENGERS: Mapping[str, Mapping[str, Any]] = {
    "trees of depth 3 in place of 4": {"hyperparameters": {"max_depth": 3}},
    "what only grows is learned from, and the two gates that would mind are gone": {
        "leave_out": ["trip_at_last_lifetime", "redemption_at_last_lifetime"],
        "evaluation": {
            "gates": [
                {"metric": "log_loss", "beats": "recency"},
                {"metric": "average_precision", "beats": "trips_28d", "margin": 0.01},
            ]
        },
    },
}
"""What each one's declaration has in place of production's. The second ranks better on the test split than production,
and its scores are off: lifetime counts go on where training ended. Nothing but the comparison of rows finds that here.
"""
_STARTS = {1: 0, 5: 1}
"""After which Monday the rollout of which challenger begins."""
_SECONDS_TO_START, _SECONDS_TO_FOLLOW, _POLLS = 120.0, 30.0, 0.8


@dataclass(kw_only=True)
class Replay:
    """A replay that is going on. challengers: their versions. loaded: until when the online store knows everything."""

    place: ReplayPlace
    settings: Settings
    log: EventLog
    mondays: Sequence[datetime]
    households: Mapping[datetime, Sequence[int]]
    challengers: list[int] = field(default_factory=list)
    answers: list[asking.Answer] = field(default_factory=list)
    loaded: datetime = datetime(1970, 1, 1, tzinfo=UTC)


def replay(settings: Settings) -> Replayed:
    """Replay the Mondays in a place of its own, and say what there is to look at.

    UsageError where the model has not passed its gates, DataError where a score that was served is not that of the
    batch.
    """
    of = begins_with(settings)
    if of is None:
        raise UsageError(f"{MODEL} has not passed its gates here, so there is nobody to answer. Run the demo before.")
    place = ReplayPlace(settings.data, folder_of(settings))
    place.make(repository_folder(settings))
    with place.entered():
        inside = get_settings()
        mondays, households = _population(inside)
        going = Replay(
            place=place, settings=inside, log=log_of(place.repository), mondays=mondays, households=households
        )
        variables = " ".join(f"{name}={value}" for name, value in place.variables().items())
        say(f"In a copy of the data folder, with a clock of its own:\n  export {variables}")
        try:
            _begin(going)
            with _server(going) as url:
                for number, monday in enumerate(mondays, start=1):
                    _live(going, url, number, monday)
            found = _look_back(going, of)
        finally:
            redis.stop(inside)
    write_replayed(found, settings)
    return found


def _population(settings: Settings) -> tuple[list[datetime], dict[datetime, list[int]]]:
    """The last Mondays of the dataset's test split, and who is asked about on each."""
    manifest, folder = read_manifest(settings.datasets_dir / DATASET)
    (split,) = [each for each in manifest.splits if each.name == "test"]
    rows = pq.read_table(folder / split.file, columns=[asking.KEY, "event_timestamp"], partitioning=None)
    mondays = sorted(pc.unique(rows["event_timestamp"]).to_pylist())[-MONDAYS:]
    found: dict[datetime, list[int]] = {monday: [] for monday in mondays}
    for household, monday in zip(rows[asking.KEY].to_pylist(), rows["event_timestamp"].to_pylist(), strict=True):
        if monday in found:
            found[monday].append(household)
    return mondays, found


def _begin(going: Replay) -> None:
    """The day before: version 1 as if it had been released then, the challengers, and the faults to come."""
    eve = going.mondays[0] - timedelta(days=1)
    going.place.set_clock(eve)
    going.place.date_events(eve)
    for name, differing in CHALLENGERS.items():
        say(f"\nA challenger: {name}")
        _declare(going.place.repository, differing)
        _features("model", "release", MODEL)
        going.challengers.append(standing(MODEL, going.log).newest().number)
    _declare(going.place.repository, {})
    first = judged_version(MODEL, going.settings)
    if first is not None and first.stage != "production":
        number = str(first.number)
        _features("model", "promote", MODEL, number, "--to", "production", "--why", "nothing to compare with")
    faults.break_mondays(going.settings.offline_dir, going.mondays[-BAD_MONDAYS - 1], going.mondays[-BAD_MONDAYS:])


def _declare(repository: Path, differing: Mapping[str, Any]) -> None:
    """Declare the model anew in the replay's repository, with some parts in place of production's."""
    file = repository / "models" / f"{MODEL}.yaml"
    original = file.with_suffix(".production")
    if not original.exists():
        file.rename(original)
    declared = yaml.safe_load(original.read_text())
    for key, value in differing.items():
        declared[key] = {**declared[key], **value} if isinstance(value, Mapping) else value
    file.write_text(yaml.safe_dump(declared, sort_keys=False))


def _live(going: Replay, url: str, number: int, monday: datetime) -> None:
    """One Monday: load, ask, judge."""
    if number == MONDAYS - BAD_MONDAYS + 1:
        say(f"\nA broken job: from here on {faults.DRIFTING} is in another unit, and {faults.FROZEN} stays as it was")
    going.place.set_clock(monday)
    began = time.monotonic()
    _load(going, monday)
    time.sleep(_POLLS)  # the server looks for loads at every poll, and its record names what it saw
    loaded = time.monotonic()
    told = list(asking.ask(url, MODEL, going.households[monday], f"{monday:%Y-%m-%d}"))
    going.answers += told
    by = ", ".join(f"version {version} {rows:,}" for version, rows in sorted(Counter(e.version for e in told).items()))
    say(
        f"\nMonday {monday:%Y-%m-%d}: loaded in {loaded - began:.1f} s, {len(told):,} households answered in "
        f"{time.monotonic() - loaded:.1f} s by {by}"
    )
    rollout = running(going.log.events(MODEL))
    if rollout is not None:
        rows = len(told) if rollout.route.shadow else sum(each.version == rollout.candidate for each in told)
        _wait_for_both(going, rows)
    going.place.set_clock(monday + timedelta(minutes=30))
    if rollout is not None:
        _features("model", "rollout", MODEL, "--step", intended=(3,))
        last = going.log.events(MODEL)[-1]
        say(f"  event {last.number} of the log: {getattr(last.change, 'action', last.change.kind)}, {last.why}")
    if number in _STARTS:
        _features("model", "rollout", MODEL, "--start", str(going.challengers[_STARTS[number]]))
    going.place.set_clock(monday + timedelta(hours=1))


def _load(going: Replay, until: datetime) -> None:
    """Load the online store with what is new since the last Monday, by Feast's own API."""
    store = open_store(going.settings)
    projections = store.get_feature_service(SERVICE).feature_view_projections
    stored = {view.name for view in store.list_batch_feature_views()}
    with _hushed():
        store.materialize(going.loaded, until, [each.name for each in projections if each.name in stored])
    going.loaded = until


def _wait_for_both(going: Replay, rows: int) -> None:
    """Wait until both versions have scored so many rows, or gave some up, and the server has said so."""
    controller = controller_of(going.log, going.settings, who="demo", clock=present_moment)
    deadline = time.monotonic() + _SECONDS_TO_FOLLOW
    while time.monotonic() < deadline:
        reading = controller.status(MODEL).reading
        if reading is not None and reading.rows + reading.shed_rows >= rows:
            return
        time.sleep(0.1)
    raise ServiceUnavailableError(f"the model server has not scored {rows:,} rows twice in {_SECONDS_TO_FOLLOW:g} s.")


def _look_back(going: Replay, of: dict[str, object]) -> Replayed:
    """Collect the record, hold it against scores in batch, monitor it, and trace one prediction."""
    say("\nWhat was served")
    _features("predictions", "collect")
    record = asking.recorded(served_folder(MODEL, going.settings))
    asking.refuse_other_answers(record, going.answers)
    first, *_, last = (f"{monday:%Y-%m-%d}" for monday in going.mondays)
    monitored = _features("monitor", MODEL, "--from", first, "--to", last, intended=(3,))
    canary = next(each for each in record.filter(pc.field("role") == "canary")["id"].to_pylist())
    _features("predictions", "trace", canary)
    _features("outcomes", MODEL)
    versions = sorted(pc.unique(record["version"]).to_pylist())
    same = sum(_compare(going, record, version) for version in versions)
    say(f"\n{same:,} scores of {len(versions)} versions in every role: those of `features model predict`, to the bit")
    return Replayed(
        of=of,
        scores=same,
        traced=canary,
        report=next(line.split(": ", 1)[1] for line in monitored if line.startswith("report of")),
        until=(going.mondays[-1] + timedelta(hours=1)).isoformat(),
    )


def _compare(going: Replay, record: Any, version: int) -> int:
    """How many scores of a version are those of `features model predict`; the batch goes again."""
    spine = asking.spine_of(record, version, going.place.folder / f"served-by-{version}.parquet")
    told = _features(
        "model", "predict", MODEL, "--spine", str(spine), "--version", str(version), "--json", is_shown=False
    )
    folder = Path(json.loads("\n".join(told))[0]["folder"])
    same = asking.refuse_other_scores(record, version, predictions_of(folder))
    shutil.rmtree(folder)  # it would be watched and counted as predictions
    return same


def _features(*arguments: str, intended: Sequence[int] = (), is_shown: bool = True) -> list[str]:
    """Run a command of ours in this process, as one would type it; what it printed. Ends where it fails."""
    printed, errors = io.StringIO(), io.StringIO()
    if is_shown:
        say(f"$ features {shlex.join(arguments)}")
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(errors if not is_shown else printed):
        code = run(arguments)
    lines = printed.getvalue().splitlines()
    if is_shown:
        for line in lines:
            say(f"  {line}")
        if code:
            say(f"  code {code}")
    if code not in (0, *intended):
        raise DataError(f"`features {shlex.join(arguments)}` ended with code {code}: {errors.getvalue() or lines[-1:]}")
    return lines


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


@contextlib.contextmanager
def _server(going: Replay) -> Iterator[str]:
    """A model server on a free port, as a process of its own; ready when this begins, and ended after."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(executable("features")), "model", "serve", MODEL, "--port", str(port)]
    with (going.place.folder / "server.log").open("w") as log:
        server = subprocess.Popen(command, env=dict(os.environ), stdout=log, stderr=log)
    going.place.server.write_text(str(server.pid))
    url = f"http://127.0.0.1:{port}"
    try:
        _load(going, going.mondays[0] - timedelta(days=1))  # while it starts
        _wait_until_ready(server, url, going.place.folder / "server.log")
        say(f"\n$ features model serve {MODEL} --port {port}")
        yield url
    finally:
        server.terminate()
        server.wait(timeout=60)


def _wait_until_ready(server: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + _SECONDS_TO_START
    while time.monotonic() < deadline and server.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/health", timeout=5) as answer:
            if answer.status == 200:
                return
        time.sleep(0.1)
    raise ServiceUnavailableError(f"the model server is not ready: {log.read_text()[-500:]}")
