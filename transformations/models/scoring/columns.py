"""Rows as a server has them, Python's own values by column, and their short way to a model's matrix.

A request of one row would spend more time on twenty Arrow arrays than on two hundred trees. The short way is taken only
where it gives the same bits as Arrow's: numbers and booleans of the declared dtypes, used as they are or scaled. All
else, and every value that is to be refused, goes through Arrow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from transformations.models.records.artifact import InputColumn
from transformations.models.records.predictions import Value
from transformations.models.scoring.fitted import Fitted, Plain, Scale
from transformations.models.scoring.inputs import ARROW_TYPES
from transformations.models.trainers.interface import Floats, Matrix


@dataclass(kw_only=True, slots=True)
class Columns:
    """Rows by column, in the order of an artifact's inputs. values: a list a column; None for null. types: of the
    columns in Arrow; None for what has no type of its own. table: makes the same rows in Arrow, by name.
    """

    rows: int
    values: Sequence[Sequence[Value]]
    types: Sequence[pa.DataType | None]
    table: Callable[[], pa.Table]


@dataclass(frozen=True, kw_only=True, eq=False)
class ShortWay:
    """How columns become a matrix without Arrow. order: the input that each of the model's columns is of. singles:
    inputs that are Float32. means, deviations: of the model's columns at the places `scaled`.
    """

    types: Sequence[pa.DataType]
    dtype: str
    order: list[int] | None
    singles: list[int]
    scaled: list[int]
    means: Floats
    deviations: Floats

    def matrix(self, columns: Columns) -> Matrix | None:
        """The rows as the model takes them; None where Arrow is to look at them."""
        if not columns.rows or columns.types != self.types:
            return None
        try:
            numbers = np.array(columns.values, dtype=np.float64)
        except (TypeError, ValueError, OverflowError):
            return None
        if numbers.shape != (len(self.types), columns.rows):
            return None
        if self.singles:
            with np.errstate(over="ignore"):
                numbers[self.singles] = numbers[self.singles].astype(np.float32)
        if np.isinf(numbers).any():
            return None
        found = numbers.T if self.order is None else numbers.T[:, self.order]
        if self.scaled:
            found = found.copy() if self.order is None else found
            found[:, self.scaled] = (found[:, self.scaled] - self.means) / self.deviations
        matrix: Matrix = np.ascontiguousarray(found, dtype=self.dtype)
        return matrix


def short_way(inputs: Sequence[InputColumn], transformations: Fitted, dtype: str) -> ShortWay | None:
    """The short way of an artifact; None where it has texts, or transformations that are more than arithmetic."""
    if any(column.dtype == "String" for column in inputs):
        return None
    if not all(isinstance(part, (Plain, Scale)) for part in transformations.parts):
        return None
    names = [column.name for column in inputs]
    order = [names.index(part.input) for part in transformations.parts]
    scaled = [(place, part) for place, part in enumerate(transformations.parts) if isinstance(part, Scale)]
    return ShortWay(
        types=[ARROW_TYPES[column.dtype] for column in inputs],
        dtype=dtype,
        order=None if order == list(range(len(names))) else order,
        singles=[place for place, column in enumerate(inputs) if column.dtype == "Float32"],
        scaled=[place for place, _ in scaled],
        means=np.array([part.mean for _, part in scaled]),
        deviations=np.array([part.deviation or 1.0 for _, part in scaled]),
    )
