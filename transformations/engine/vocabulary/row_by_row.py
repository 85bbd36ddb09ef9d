"""Whether a function computes each row from that row alone: online a row comes alone, in training among millions."""

from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa

from transformations.engine.base.errors import DataError, DefinitionError
from transformations.engine.vocabulary.dtypes import BOOL, FLOAT64, INT64, STRING, UNIX_TIMESTAMP, Dtype
from transformations.engine.vocabulary.functions import RowFunction

_NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
# Of different lengths, so that parameters meet in changing combinations; each has a null and a repeated value.
_SAMPLES: dict[Dtype, list[object]] = {
    INT64: [3, None, 0, 7, 7, -2, 1],
    FLOAT64: [2.5, 0.5, 0.5, None, 0.0, -4.0, 1e6, 3.0, 1.0],
    STRING: ["a", "b", "b", None, ""],
    BOOL: [True, False, None, True],
    UNIX_TIMESTAMP: [_NOON, _NOON, None, _NOON.replace(year=2023), _NOON.replace(month=6), _NOON.replace(day=2)],
}
_ROWS = 40


def refuse_unless_row_by_row(function: RowFunction) -> None:
    """Raise DefinitionError for a function that gives a row another value alone than among others, on made-up rows.

    It catches means, ranks, cumulative sums, filling from the row before, and chance; it is no proof. Rows that the
    function fails on alone are left out.
    """
    columns: dict[str, list[object]] = {}
    for name, dtype in function.parameters:
        samples = _SAMPLES.get(dtype, [None])
        columns[name] = [samples[row % len(samples)] for row in range(_ROWS)]
    alone: dict[int, object] = {}
    for row in range(_ROWS):
        try:
            alone[row] = _evaluate_rows(function, columns, [row])[0]
        except DataError:
            continue
    for rows in (list(alone), list(reversed(alone))):
        try:
            together = _evaluate_rows(function, columns, rows)
        except DataError as error:
            raise DefinitionError(
                f"{error} Each of these rows alone gives a value. {_remedy_text(function)}"
            ) from error
        for row, value in zip(rows, together, strict=True):
            if value != alone[row]:
                inputs = {name: column[row] for name, column in columns.items()}
                raise DefinitionError(
                    f"function {function.name} gives {alone[row]!r} for {inputs} alone, and {value!r} for it among "
                    f"other rows. {_remedy_text(function)}"
                )


def _evaluate_rows(function: RowFunction, columns: dict[str, list[object]], rows: list[int]) -> list[object]:
    arrays = {name: pa.array([columns[name][row] for row in rows], dtype.arrow) for name, dtype in function.parameters}
    values: list[object] = function.evaluate(arrays).to_pylist()
    return values


def _remedy_text(function: RowFunction) -> str:
    return (
        f"A request brings {function.name} one row, a training frame brings all, and both must give the same. Compute "
        f"each value from its own row; what needs other rows is a windowed feature."
    )
