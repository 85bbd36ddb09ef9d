"""Transformations that depend on the training data: fitted on the train split, stored as JSON, applied everywhere.

country:  de  fr  null  xx        one_hot over [de, fr]:   de  1 0 0 0     null and what training never saw
                                                           fr  0 1 0 0     have 0 in every column
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, TypeAdapter, ValidationError

from transformations.engine.base.errors import DataError
from transformations.models.records.artifact import InputColumn
from transformations.models.records.base import Part, canonical_text, text_hash
from transformations.models.scoring.inputs import numbers
from transformations.models.trainers.interface import Floats, Matrix

FILE = "transformations.json"


class Plain(Part):
    """A number or boolean as it is; null is missing."""

    kind: Literal["plain"] = "plain"
    input: str

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns that come of it."""
        return (self.input,)

    def apply(self, column: pa.Array) -> Iterator[Floats]:
        """The columns that come of an input's values."""
        yield numbers(column)


class Scale(Part):
    """(value − mean) / deviation; null is missing. A column that does not vary becomes 0."""

    kind: Literal["scale"] = "scale"
    input: str
    mean: float
    deviation: float

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns that come of it."""
        return (self.input,)

    def apply(self, column: pa.Array) -> Iterator[Floats]:
        """The columns that come of an input's values."""
        yield (numbers(column) - self.mean) / (self.deviation or 1.0)


class OneHot(Part):
    """A column of 0 and 1 for each category; all 0 for null and for a category that training never saw."""

    kind: Literal["one_hot"] = "one_hot"
    input: str
    categories: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns that come of it."""
        return tuple(f"{self.input}={category}" for category in self.categories)

    def apply(self, column: pa.Array) -> Iterator[Floats]:
        """The columns that come of an input's values."""
        codes = places(column, self.categories)
        for place in range(len(self.categories)):
            yield (codes == place).astype(np.float64)


class Vocabulary(Part):
    """The category's place in the vocabulary; missing for null and for a category that training never saw."""

    kind: Literal["category"] = "category"
    input: str
    categories: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns that come of it."""
        return (self.input,)

    def apply(self, column: pa.Array) -> Iterator[Floats]:
        """The columns that come of an input's values."""
        codes = places(column, self.categories)
        yield np.where(codes < 0, np.nan, codes.astype(np.float64))


class TargetEncoding(Part):
    """The label's smoothed mean within the category; its mean over all for null and for what training never saw."""

    kind: Literal["target_encoding"] = "target_encoding"
    input: str
    categories: tuple[str, ...]
    means: tuple[float, ...]
    prior: float

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns that come of it."""
        return (self.input,)

    def apply(self, column: pa.Array) -> Iterator[Floats]:
        """The columns that come of an input's values."""
        yield np.append(np.asarray(self.means), self.prior)[places(column, self.categories)]


Transformation = Annotated[Plain | Scale | OneHot | Vocabulary | TargetEncoding, Field(discriminator="kind")]
_READER: TypeAdapter[tuple[Transformation, ...]] = TypeAdapter(tuple[Transformation, ...])


class Fitted(Part):
    """The fitted transformations of a model, in the order of its columns."""

    parts: tuple[Transformation, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The model's columns, in its order."""
        return tuple(name for part in self.parts for name in part.columns)

    def matrix(self, inputs: Mapping[str, pa.Array], dtype: Literal["float32", "float64"]) -> Matrix:
        """The rows as the model takes them: a row's values side by side, NaN where missing."""
        length = len(next(iter(inputs.values())))
        matrix: Matrix = np.empty((length, len(self.columns)), dtype=dtype)
        place = 0
        for part in self.parts:
            for values in part.apply(inputs[part.input]):
                matrix[:, place] = values
                place += 1
        return matrix

    def text(self) -> str:
        """The canonical JSON that is stored and hashed."""
        return canonical_text(_READER.dump_python(self.parts, mode="json"))

    @property
    def hash(self) -> str:
        """SHA-256 of that text."""
        return text_hash(self.text())


def read_fitted(text: str, place: str) -> Fitted:
    """The transformations of a stored text; DataError where it holds none."""
    try:
        return Fitted(parts=_READER.validate_json(text))
    except ValidationError as error:
        raise DataError(f"{place} holds no transformations of ours: {error.errors()[0]['msg']}.") from None


def as_texts(column: pa.Array) -> pa.Array:
    """The categories of a column: its values as text."""
    return column if pa.types.is_string(column.type) else column.cast(pa.string())


def places(column: pa.Array, categories: Sequence[str]) -> npt.NDArray[np.int64]:
    """The place of each value among the categories, -1 where there is none."""
    known = pa.array(list(categories), pa.string())
    found = pc.fill_null(pc.index_in(as_texts(column), value_set=known, skip_nulls=True), -1)
    return np.asarray(found.to_numpy(zero_copy_only=False), dtype=np.int64)


def plain(inputs: Sequence[InputColumn]) -> Fitted:
    """Every input as it is."""
    return Fitted(parts=tuple(Plain(input=column.name) for column in inputs))
