"""The effect sizes that gate, beside those of Evidently on the same rows: `make oracle-proof`.

Evidently computes on the shares of raw rows and has no prior. So that both stand for one formula it is given every row
twice and one row more of every bin: (2 n + 1) / (2 N + bins) is the share that half a row a bin gives. It gives the
square root of the divergence with natural logarithms, where ours has the base 2. Bins are named by pandas, not by us.

    python -m pip install --target .venv/evidently -c constraints.txt evidently==0.7.23
    PYTHONPATH=.venv/evidently python tests/transformations/monitoring/statistics/evidently_oracle.py
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from transformations.models.fitting.reference import histogram
from transformations.models.records.reference import Categories
from transformations.monitoring.statistics.layout import Effects, Layout

CLOSE = 1e-9
NAMES = ("bread", "milk", "tea")


def main() -> int:
    """Print how many effects were compared; 1 where one differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=40, metavar="N", help="random days of each kind, default 40")
    given = parser.parse_args()
    chance = np.random.default_rng(22)
    compared = wrong = 0
    for day in range(given.days):
        for what, ours, theirs in (*numbers(chance), *categories(chance)):
            compared += 1
            if not math.isclose(ours, theirs, rel_tol=CLOSE, abs_tol=CLOSE):
                wrong += 1
                print(f"WRONG: {what} of day {day} is {ours!r}, and {theirs!r} to Evidently")
    print(f"{compared} effects compared with Evidently {version('evidently')}: {wrong} differ")
    return 1 if wrong else 0


def numbers(chance: np.random.Generator) -> Iterator[tuple[str, float, float]]:
    """PSI and nulls of a number that has moved, by a random distance, on the bins of its reference."""
    reference = chance.gamma(2.0, size=3_000)
    today = chance.gamma(2.0, size=int(chance.integers(100, 2_000))) * chance.uniform(0.5, 2) + chance.normal()
    for values in (reference, today):
        values[chance.random(len(values)) < chance.uniform(0, 0.3)] = np.nan
    bins = histogram(reference)
    found = effects(Layout({"x": bins}), pa.array(reference, from_pandas=True), pa.array(today, from_pandas=True))
    edges = [-math.inf, *bins.edges, math.inf]
    labels = [f"bin {place}" for place in range(len(edges) - 1)]
    binned = [pd.cut(pd.Series(each), edges, right=False, labels=labels).astype(object) for each in (reference, today)]
    yield "PSI", float(found.values[0]), drift([doubled(each, labels) for each in binned], "psi")
    yield "nulls", float(found.nulls[0]), missing(binned[1]) - missing(binned[0])


def categories(chance: np.random.Generator) -> Iterator[tuple[str, float, float]]:
    """The divergence and the nulls of a text that may have a new category, and may have lost one."""
    shares = chance.dirichlet(np.ones(len(NAMES)))
    reference = chance.choice([*NAMES, None], size=3_000, p=[*shares * 0.9, 0.1])
    today = chance.choice([*NAMES, "cake", None], size=400, p=chance.dirichlet(np.full(len(NAMES) + 2, 0.7)))
    counts = {name: int((reference == name).sum()) for name in NAMES}
    bins = Categories(counts=counts, others=0, nulls=int((reference == None).sum()))  # noqa: E711  # by element
    found = effects(Layout({"x": bins}), pa.array(reference, pa.string()), pa.array(today, pa.string()))
    series = [pd.Series(each, dtype=object) for each in (reference, today)]
    yield "divergence", float(found.values[0]), drift(series, "jensenshannon") ** 2 / math.log(2)
    yield "nulls", float(found.nulls[0]), missing(series[1]) - missing(series[0])
    yield "new categories", float(found.unseen[0]), float((series[1] == "cake").mean())


def effects(layout: Layout, reference: pa.Array, today: pa.Array) -> Effects:
    """Ours, of one feature `x`."""
    counts = [layout.count(layout.codes({"x": each})) for each in (reference, today)]
    return layout.effects(*counts)


def doubled(rows: pd.Series[Any], labels: Sequence[str]) -> pd.Series[Any]:
    """Every row twice, and one row of every bin; nulls are no part of a distribution."""
    return pd.concat([rows.dropna(), rows.dropna(), pd.Series(labels, dtype=object)], ignore_index=True)


def drift(rows: Sequence[pd.Series[Any]], method: str) -> float:
    """Evidently's drift score of a category: of the reference's rows and the day's."""
    from evidently.metrics import ValueDrift

    return reported(ValueDrift(column="x", method=method), *rows)


def missing(rows: pd.Series[Any]) -> float:
    """Evidently's share of missing values."""
    from evidently.metrics import MissingValueCount

    return reported(MissingValueCount(column="x"), rows, rows)


def reported(metric: Any, reference: pd.Series[Any], today: pd.Series[Any]) -> float:
    """The value, or share, that a report of Evidently's gives."""
    from evidently import DataDefinition, Dataset, Report

    kinds = DataDefinition(categorical_columns=["x"])
    before, now = (Dataset.from_pandas(pd.DataFrame({"x": each}), kinds) for each in (reference, today))
    value = Report([metric]).run(now, before).dict()["metrics"][0]["value"]
    return float(value["share"] if isinstance(value, dict) else value)


if __name__ == "__main__":
    os.environ["DO_NOT_TRACK"] = "1"
    sys.exit(main())
