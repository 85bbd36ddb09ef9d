"""`features predictions`: the record of what models said, collected, traced and checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING

import click

from transformations.cli.commands.look.explain import print_value
from transformations.cli.model_place import model_place
from transformations.cli.options import json_option
from transformations.cli.output import print_json, print_table, progress, say
from transformations.engine.base.errors import DataError
from transformations.engine.base.moments import minute_text, moment_text, value_text
from transformations.engine.base.settings import get_settings
from transformations.engine.base.words import plural
from transformations.insight.repository import open_store

if TYPE_CHECKING:
    from transformations.models.predictions.check import Checked
    from transformations.models.predictions.collect import Collected
    from transformations.models.predictions.tracing import TracedFeature, TracedPrediction

_MOST = 10
_TODAY = {
    "same": "the recorded versions give the same score, bit for bit",
    "expired": "expired: a table version that it was made from is gone, so it cannot be computed again",
    "degraded": "it was made with defaults, since features could not be read",
    "withheld": "it cannot be computed again",
}


@click.group()
def predictions() -> None:
    """Collect what the model server has recorded, trace a prediction to what it came from, and check a sample.

    Every prediction is recorded before it is answered, in segments that this collects into Parquet by UTC day:
    predictions/MODEL/served/day=2024-05-20/v3.parquet in the data folder (docs/prediction-record.md).
    """


@predictions.command(
    epilog="""\b
For a scheduler: repeat it every few minutes. Killed at any point it has lost nothing, and two at once take turns.
A prediction whose id was sent again stands there once: the first attempt that was answered, else the first.
"""
)
@click.argument("model", metavar="[MODEL]", required=False)
@json_option
def collect(model: str | None, as_json: bool) -> None:
    """Move the records of all models, or of MODEL, from closed segments into Parquet, and pin what they were read from.

    A segment goes once all that it held is on disk elsewhere. Ends with code 3 where a segment holds what this release
    cannot read; it stays.
    """
    from transformations.models.predictions.collect import collect as collect_records

    with progress("Collecting"):
        found = collect_records(get_settings(), model)
    if as_json:
        print_json(found.as_json())
    else:
        _say(found)
    if found.unreadable:
        raise DataError(
            f"{plural(len(found.unreadable), 'line')} of {found.unreadable[0]}: that is no record of this release. Its "
            f"segment stays; collect it with the release that wrote it."
        )


@predictions.command(
    epilog="""\b
The chain: version, training run, dataset and gates; each feature's value as served, its table version, and the run that
wrote its row; and whether the recorded versions give the same score today. With --feature also the raw events and the
definition behind one value. After FEATURES_PREDICTIONS_KEEP_DAYS the score may say `expired`: its tables are gone.
"""
)
@click.argument("prediction", metavar="ID")
@click.option("--feature", metavar="NAME", help="Show the raw events and the definition behind this feature, too.")
@json_option
def trace(prediction: str, feature: str | None, as_json: bool) -> None:
    """Trace the prediction ID, online or of a batch, to what it was made from, and compute it again.

    Ends with code 3 where it comes out otherwise today, although everything that it names is there.
    """
    settings, _, log = model_place()
    from transformations.models.predictions.tracing import explain_feature
    from transformations.models.predictions.tracing import trace as trace_prediction

    with progress(f"Tracing {prediction}"):
        found = trace_prediction(prediction, log, open_store(settings), settings)
        explained = list(explain_feature(found[0], feature, settings)) if feature else []
    if as_json:
        documents = [_as_json(each) for each in found]
        if feature:
            documents[0]["explained"] = [asdict(value) for value in explained]
        print_json(documents)
    else:
        for each in found:
            _say_traced(each)
        for value in explained:
            say("")
            print_value(value)
    if wrong := [each for each in found if each.difference and each.again != "withheld"]:
        raise DataError(f"prediction {prediction}: {wrong[0].again}: {wrong[0].difference}.")


@predictions.command(
    epilog="""\b
Features are retrieved at the recorded table versions, as far as these were loaded, each row at its own moment; the same
artifact scores them; values, statuses and scores must be the same bits. What came late, and what was corrected since,
is counted and is no fault. Ends with code 3 where a prediction is skewed, and names the cause.
"""
)
@click.argument("model", metavar="[MODEL]", required=False)
@click.option("--day", type=click.DateTime(["%Y-%m-%d"]), metavar="DAY", help="The UTC day. [default: the last one]")
@click.option(
    "--sample", type=click.IntRange(min=1), default=1000, show_default=True, help="How many predictions of the day."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Chooses the sample: the same for the same seed.")
@json_option
def check(model: str | None, day: datetime | None, sample: int, seed: int, as_json: bool) -> None:
    """Compute a sample of what MODEL said on a day again, and compare it bit for bit; without MODEL, of all models."""
    settings, _, log = model_place()
    from transformations.models.predictions.check import check_models

    with progress("Checking"):
        found = check_models(
            model,
            day.date() if day else None,
            sample,
            log=log,
            store=open_store(settings),
            settings=settings,
            seed=seed,
        )
    if as_json:
        print_json([asdict(each) for each in found])
    else:
        _say_checked(found)
    if skewed := [(each.model, skew) for each in found for skew in each.skewed]:
        name, first = skewed[0]
        raise DataError(
            f"{plural(len(skewed), 'prediction')} not what the record says it was made from. The first, of {name}, is "
            f"{first.id}: {first.cause}: {first.said}. Look at it: features predictions trace {first.id}"
        )


def _say(found: Collected) -> None:
    if found.places:
        rows = [(place.model, place.day.isoformat(), place.version) for place in sorted(found.places)]
        print_table(["Model", "Day", "Version"], rows)
    counts = {
        "repeated": found.repeats,
        "degraded": found.degraded,
        "not answered": found.unanswered,
        "torn": found.torn,
    }
    also = "".join(f", {count:,} {word}" for word, count in counts.items() if count)
    waiting = f"; {plural(found.waiting, 'segment')} still written to" if found.waiting else ""
    say(f"{plural(found.records, 'new record')}{also} from {plural(found.segments, 'segment')}{waiting}")
    if found.reused:
        first = min(found.reused)
        say(f"{plural(len(found.reused), 'id')} came with other rows before, {first} say: all of them are kept")
    for each in sorted(found.gone):
        say(f"{each} was given up before it could be pinned: these predictions cannot be computed again")


def _say_traced(found: TracedPrediction) -> None:
    record, version = found.record, found.version
    said = f"{record.score:.6g}" + ("" if record.decision is None else f", {'act' if record.decision else 'no action'}")
    asked = ", ".join(f"{name} {value}" for name, value in {**record.keys, **record.request}.items())
    say(f"{record.id}: {record.model} version {record.version} said {said} of {asked}")
    moment = moment_text(record.request_timestamp, "UTC")
    notes = [record.role, *(["degraded"] if record.degraded else []), *([] if record.answered else ["not answered"])]
    say(f"  at {moment}, {', '.join(notes)}")
    gates = "no gates" if version.gates is None else f"{version.gates[0]} of {version.gates[1]} gates passed"
    evidence = "" if version.evidence is None else f", evidence {version.evidence[:12]}"
    say(
        f"  version: {version.stage}; run {version.run_id[:12]} of {minute_text(version.trained_at)}, {gates}{evidence}"
    )
    say(f"  dataset: {version.dataset} ({version.dataset_hash[:12]}), by code {version.code_revision[:12]}")
    print_table(
        ["Feature", "Served", "Status", "From", "Row of", "Written by run", "Definition"],
        [row for feature in found.features for row in _feature_rows(feature)],
    )
    if found.contributions:
        most = list(found.contributions.items())
        parts = ", ".join(f"{name} {part:+.3f}" for name, part in most[:_MOST])
        rest = f", {plural(len(most) - _MOST, 'other')} {sum(part for _, part in most[_MOST:]):+.3f}"
        say(f"  margin: {found.base:+.3f} to begin with, {parts}{rest if len(most) > _MOST else ''}")
    say(f"  today: {_TODAY.get(found.again, found.again)}{f' ({found.difference})' if found.difference else ''}")
    for each in found.missing:
        say(f"    {each} is gone")


def _as_json(found: TracedPrediction) -> dict[str, object]:
    features = [{**asdict(each), "served": each.served.model_dump(mode="json")} for each in found.features]
    return {**asdict(found), "record": found.record.model_dump(mode="json"), "features": features}


def _feature_rows(feature: TracedFeature) -> Iterator[tuple[object, ...]]:
    served = feature.served
    first: tuple[str, str, str] = (feature.name, value_text(served.value, "UTC"), served.status)
    if not feature.sources:
        yield (*first, None, None, None, None)
    for source in feature.sources:
        row = source.row
        version = "" if source.version is None else f"@{source.version}"
        yield (
            *first,
            f"{source.reference}{version}",
            None if row is None else minute_text(row.event_timestamp),
            None if row is None or row.run_id is None else f"{row.run_id[:8]} ({row.kind})",
            None if source.definition is None else source.definition[:8],
        )
        first = ("", "", "")


def _say_checked(found: Sequence[Checked]) -> None:
    headers = ["Model", "Day", "Recorded", "Compared", "Equal", "Late", "Corrected", "Not compared", "Skew"]
    print_table(
        headers,
        [
            (
                each.model,
                each.day.isoformat(),
                each.records,
                each.compared,
                each.equal,
                each.late or None,
                each.corrected or None,
                ", ".join(f"{count:,} {why}" for why, count in each.spared.items()) or None,
                len(each.skewed) or None,
            )
            for each in found
        ],
    )
    for each in found:
        for cause, count in Counter(skew.cause for skew in each.skewed).items():
            example = next(skew for skew in each.skewed if skew.cause == cause)
            say(f"{each.model}: {cause} in {plural(count, 'prediction')}, such as {example.id}: {example.said}")
