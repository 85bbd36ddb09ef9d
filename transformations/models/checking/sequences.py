"""Rows that cannot be: what comes after comes before, or what only grows has fallen.

A dataset's YAML says under `checks` what is impossible, in the words of rules. `previous.visits` is a column of the
same entity's row before.

    impossible: [closed_at < opened_at, visits_lifetime < previous.visits_lifetime]

    who  day  visits_lifetime
    a    1    5
    a    8    4      impossible; a row without one before is not, nor is one with a null
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
import pyarrow as pa

from transformations.engine.base.errors import DefinitionError, UsageError, nearest
from transformations.engine.vocabulary.conditions import Condition
from transformations.models.checking.leaks import rows_one_horizon_earlier
from transformations.models.checking.rows import Labelled
from transformations.models.evaluation.metrics import Bools
from transformations.models.evaluation.rules import parse_rule

_PREVIOUS = "previous."
_STANDS_FOR = "previous__"  # a rule is read by Python's parser, to which a dot is more than a part of a name


@dataclass(frozen=True)
class Impossible:
    """A share of rows that cannot be. example: the first rule that one breaks, with the number of its rows."""

    share: float
    example: str = ""


def impossible_rows(rows: Labelled, rules: Sequence[str]) -> Impossible:
    """How many rows meet any of the rules. UsageError for a rule that cannot be read, or names no column."""
    if not rules or not len(rows):
        return Impossible(0.0)
    conditions = {rule: _condition(rule, rows.table.column_names) for rule in rules}
    table = _with_previous(rows, frozenset().union(*(each.columns() for each in conditions.values())))
    met: dict[str, Bools] = {}
    for rule, condition in conditions.items():
        try:
            met[rule] = condition.mask(table)
        except (pa.ArrowException, DefinitionError) as error:
            raise UsageError(f"checks.impossible: {rule!r} cannot be asked of this dataset: {error}") from None
    share = float(np.logical_or.reduce(list(met.values())).mean())
    worst = max(met, key=lambda rule: int(met[rule].sum()))
    return Impossible(share, f"{worst} in {int(met[worst].sum()):,} rows" if share else "")


def _condition(rule: str, columns: Sequence[str]) -> Condition:
    try:
        condition = parse_rule(re.sub(rf"\b{re.escape(_PREVIOUS)}", _STANDS_FOR, rule))
    except DefinitionError as error:
        raise UsageError(f"checks.impossible: {str(error).replace(_STANDS_FOR, _PREVIOUS)}") from None
    for name in sorted(each.removeprefix(_STANDS_FOR) for each in condition.columns()):
        if name not in columns:
            raise UsageError(f"checks.impossible: {rule!r}: no column {name!r}; {nearest(name, columns)}.")
    return condition


def _with_previous(rows: Labelled, wanted: frozenset[str]) -> pa.Table:
    """The wanted columns, with those of the same entity's row before; null where there is none."""
    before = {name: name.removeprefix(_STANDS_FOR) for name in wanted if name.startswith(_STANDS_FOR)}
    table = rows.table.select(sorted(wanted - before.keys()))
    if before:
        places = rows_one_horizon_earlier(replace(rows, horizon=timedelta(microseconds=1)))
        index = pa.array(places, mask=places < 0)
        for name, column in before.items():
            table = table.append_column(name, rows.table[column].take(index))
    return table
