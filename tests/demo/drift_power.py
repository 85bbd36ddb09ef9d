"""What monitoring finds on the demo's data, and how often it would alert in vain: the table of docs/monitoring.md.

Rows are real ones that no version has learned from (the test split), a day of them drawn at random; a fault is put into
one feature's values; then they are counted and judged as `features monitor` does. False alerts are asked of days
resampled from the train split by other random numbers than the limits came from, and, by the command, of real Mondays.

    features demo && features model predict household_lapse_2017 --from 2017-07-03 --to 2018-01-01 --version 1
    python tests/demo/drift_power.py [--trials 200] [--write]
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transformations.cli.model_place import model_place
from transformations.models.scoring.inputs import numbers
from transformations.models.training import Pinned, pinned_dataset
from transformations.monitoring.judging.drifts import drifts
from transformations.monitoring.judging.watched import Watched
from transformations.monitoring.reading.baseline import as_compared
from transformations.monitoring.reading.records import SCORE, Baseline
from transformations.monitoring.statistics.draws import Blocks
from transformations.monitoring.statistics.effects import Counts
from transformations.monitoring.statistics.layout import Layout

PAGE = Path(__file__).parents[2] / "docs" / "monitoring.md"
BEGIN, END = "<!-- power -->\n", "<!-- /power -->\n"
FIRST, LAST = date(2017, 7, 3), date(2018, 1, 1)
ORDINARY_DAY = date(2017, 10, 2)
WEEKLY, DAILY = "household_lapse_2017", "coupon_response"
Fault = Callable[[pa.Array, np.random.Generator], pa.Array]


@dataclass(frozen=True)
class World:
    """A version with the rows that it never learned from."""

    baseline: Baseline
    dataset: Pinned
    layout: Layout
    rows: pa.Table
    important: tuple[str, ...]

    def is_found(self, rows: pa.Table, name: str, fault: Fault, generator: np.random.Generator) -> bool:
        """Whether any measure of a feature passes its limit once its values are faulty."""
        column = fault(rows[name].combine_chunks(), generator)
        return self.passes(rows, {name: column}, only=name)

    def passes(self, rows: pa.Table, changed: dict[str, pa.Array], only: str | None = None) -> bool:
        """Whether a feature passes a limit; only: a certain one."""
        moments = np.asarray(rows[self.dataset.manifest.timestamp].cast(pa.int64()).to_numpy(), dtype=np.int64)
        columns = {
            each: as_compared(changed.get(each, rows[each].combine_chunks()), self.baseline.inputs[each], moments)
            for each in self.layout.names
        }
        counts = self.layout.count(self.layout.codes(columns))
        return bool(self.passing(counts, len(rows), only))

    def passing(self, counts: Counts, rows: int, only: str | None = None) -> set[str]:
        """The features that alert by these counts, on an ordinary day without any before it."""
        by_name = {name: self.layout.of(name, counts) for name in self.layout.names}
        day = Day(day=ORDINARY_DAY, rows=rows, counts=self.baseline.layout.row(by_name))
        return {each.subject for each in drifts(self.baseline, day, []) if each.alerts and only in (None, each.subject)}


@dataclass(frozen=True, kw_only=True)
class Day:
    """Rows of a day, counted."""

    day: date
    rows: int
    counts: Counts
    absent: tuple[str, ...] = (SCORE,)
    states: Mapping[str, str] = field(default_factory=dict)


def world_of(model: str) -> World:
    """A model's first version, with its baseline."""
    settings, repository, log = model_place()
    watched = Watched(model, repository, log, settings)
    baseline = watched.baseline(1)
    dataset = pinned_dataset(watched.state(1).registered.dataset, settings)
    layout = Layout({name: each for name, each in baseline.layout.features.items() if name != SCORE})
    worth = watched.importance(1)
    asked = [name for name in layout.names if any(name in each.values for each in baseline.limits["day"])]
    important = sorted(asked, key=lambda name: -worth.get(name, 0.0))[:5]
    return World(baseline, dataset, layout, dataset.rows("test"), tuple(important))


def nulls(column: pa.Array, generator: np.random.Generator) -> pa.Array:
    """A fifth of the values lost."""
    lost = pa.array(generator.random(len(column)) < 0.2)
    return pc.if_else(lost, pa.scalar(None, column.type), column)


def other_unit(column: pa.Array, _generator: np.random.Generator) -> pa.Array:
    """Every value a hundredfold, as cents for dollars."""
    return pa.array(numbers(column) * 100, from_pandas=True)


def new_category(column: pa.Array, generator: np.random.Generator) -> pa.Array:
    """One value in twenty is one that nobody has seen."""
    return pc.if_else(pa.array(generator.random(len(column)) < 0.05), "never seen", column)


def shifted(by: float, spread: float) -> Fault:
    """Every value moved by a part of the standard deviation."""
    return lambda column, _generator: pa.array(numbers(column) + by * spread, from_pandas=True)


def share(world: World, names: tuple[str, ...], fault: Callable[[str], Fault], rows: int, trials: int) -> float:
    """How often a fault is found, over features and days; the least of the features."""
    found = []
    for name in names:
        generator = np.random.default_rng(17)
        hits = 0
        for _ in range(trials):
            sample = world.rows.take(pa.array(generator.integers(0, world.rows.num_rows, rows)))
            hits += world.is_found(sample, name, fault(name), generator)
        found.append(hits / trials)
    return min(found)


def table(trials: int) -> Iterator[str]:
    """The lines of the table."""
    weekly, daily = world_of(WEEKLY), world_of(DAILY)
    spreads = {name: float(np.nanstd(numbers(weekly.rows[name].combine_chunks()))) for name in weekly.important}
    texts = tuple(name for name in daily.layout.names if pa.types.is_string(daily.rows.schema.field(name).type))
    yield f"| Fault, in one feature of `{WEEKLY}` (or `{DAILY}`) | rows | found in |"
    yield "|---|---|---|"
    top = weekly.important
    cases: list[tuple[str, World, tuple[str, ...], Callable[[str], Fault], int]] = [
        ("a fifth of the values lost, top 5 features", weekly, top, lambda _name: nulls, 400),
        ("values a hundredfold, top 5 features", weekly, top, lambda _name: other_unit, 400),
        (
            f"a new category in 5 % of rows (`{DAILY}`, {len(texts)} texts)",
            daily,
            texts,
            lambda _name: new_category,
            400,
        ),
        ("a shift of 0.5 σ, top 5 features", weekly, top, lambda name: shifted(0.5, spreads[name]), 2_200),
        ("a shift of 0.25 σ, top 5 (no promise)", weekly, top, lambda name: shifted(0.25, spreads[name]), 2_200),
    ]
    for said, world, names, fault, rows in cases:
        yield f"| {said} | {rows:,} | {share(world, names, fault, rows, trials):.1%} |"
    yield ""
    yield "| Nothing happened | days | alerted |"
    yield "|---|---|---|"
    for rows in (400, 2_200):
        yield f"| days resampled from the train split, {rows:,} rows | 1,000 | {resampled(weekly, rows):.1%} |"
    for said, days, alerting in real():
        yield f"| {said} | {days} | {alerting} |"


def resampled(world: World, rows: int, draws: int = 1_000) -> float:
    """The share of resampled days on which any feature passes a limit."""
    train = world.dataset.rows("train")
    moments = np.asarray(train[world.dataset.manifest.timestamp].cast(pa.int64()).to_numpy(), dtype=np.int64)
    columns = {
        name: as_compared(train[name].combine_chunks(), world.baseline.inputs[name], moments)
        for name in world.layout.names
    }
    blocks = Blocks(
        layout=world.layout,
        codes=world.layout.codes(columns),
        entities=np.unique(train["household_id"].to_numpy(), return_inverse=True)[1],
        blocks=moments // 86_400_000_000,
        period=7,
    )
    alerts = 0
    for draw in range(draws):
        block = int(blocks.whole[draw % len(blocks.whole)])
        counts = world.layout.count(blocks.sample(block, rows, 99, draw))
        alerts += bool(world.passing(counts, rows))
    return alerts / draws


def real() -> Iterator[tuple[str, int, int]]:
    """The real Mondays after training as `features monitor` judges them: what they are, how many, how many alert."""
    program = Path(sys.executable).with_name("features")
    command = [program, "monitor", WEEKLY, "--from", str(FIRST), "--to", str(LAST), "--json"]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    states = [{each["state"] for each in day["findings"] if each["version"]} for day in json.loads(ended.stdout)]
    held = [each for each in states if "held" in each]
    usual = [each for each in states if "held" not in each]
    for said, days in (
        ("the real Mondays after training, from July to the year's end", usual),
        ("those of them with values held back, in or after a holiday week", held),
    ):
        yield said, len(days), sum("alert" in each for each in days)


def main() -> None:
    """Print the table, or write it into the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--write", action="store_true", help="write it into docs/monitoring.md")
    arguments = parser.parse_args()
    text = "\n".join(table(arguments.trials)) + "\n"
    print(text)
    if arguments.write:
        page = PAGE.read_text()
        PAGE.write_text(re.sub(f"{BEGIN}.*?{END}", lambda _: f"{BEGIN}{text}{END}", page, flags=re.DOTALL))


if __name__ == "__main__":
    main()
