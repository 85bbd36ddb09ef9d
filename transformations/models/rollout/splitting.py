"""Which rows of a request go to which version: sticky by unit, monotone in the share, the same on every server."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from transformations.models.rollout.routing import Route

BUCKETS = 10_000
"""Shares are counted in hundredths of a percent."""

_ENCODER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)

Key = bool | int | float | str | np.generic | None
"""A value of a unit's column, as JSON or NumPy has it."""


def bucket(salt: str, unit: str) -> int:
    """Where a unit stands among the 10,000: the first 32 bits of SHA-256 of `salt:unit`, modulo 10,000."""
    return int.from_bytes(hashlib.sha256(f"{salt}:{unit}".encode()).digest()[:4], "big") % BUCKETS


def unit_text(values: Sequence[Key]) -> str | None:
    """The text of a unit: its values as JSON, `[7,"north"]`; None where one is missing, null or NaN.

    7 and "7" are two units: bring keys to the dtype of their entity first.
    """
    if not values or any(value is None or value != value for value in values):  # NaN alone differs from itself
        return None
    return _ENCODER.encode([_plain(value) for value in values])


def units_of(columns: Mapping[str, Sequence[Key]], unit: Sequence[str], rows: int) -> list[str | None]:
    """The unit of each of a request's rows; None for all of them where a column of it is not in the request."""
    if not unit or any(name not in columns for name in unit):
        return [None] * rows
    return [unit_text(values) for values in zip(*(columns[name] for name in unit), strict=True)]


def share_of(units: Sequence[str | None], salt: str, percent: float) -> NDArray[np.bool_]:
    """Which units belong to a share of so many percent; one that is None never does.

    Who belongs to 5 % belongs to every larger share of the same salt, too.
    """
    limit = round(percent * BUCKETS / 100)
    if not limit:
        return np.zeros(len(units), dtype=np.bool_)
    return np.fromiter((unit is not None and bucket(salt, unit) < limit for unit in units), np.bool_, len(units))


@dataclass(frozen=True)
class Holdout:
    """A share of units that is scored and recorded, but marked: nobody is to act on their scores.

    So what happens without acting stays measurable. The salt is the model's, so that a unit stays in the holdout
    whatever version answers, and is in it or not whatever arm of a rollout it is in.
    """

    percent: float
    unit: tuple[str, ...]
    salt: str

    def rows(self, columns: Mapping[str, Sequence[Key]], rows: int) -> NDArray[np.bool_]:
        """Which rows are held out."""
        if not self.percent:
            return np.zeros(rows, dtype=np.bool_)
        return share_of(units_of(columns, self.unit, rows), self.salt, self.percent)


@dataclass(frozen=True)
class Split:
    """The rows of one request by the version that answers them. versions: int64, one a row."""

    versions: NDArray[np.int64]

    @cached_property
    def parts(self) -> dict[int, NDArray[np.int64]]:
        """The places of each version's rows, ascending; a version without rows is not there."""
        return {int(version): np.flatnonzero(self.versions == version) for version in np.unique(self.versions)}

    @property
    def is_mixed(self) -> bool:
        """Whether more than one version answers."""
        return len(self.parts) > 1

    def merge(self, answers: Mapping[int, NDArray[np.generic]]) -> NDArray[np.generic]:
        """The versions' answers, one a row of its part, in the order of the request's rows."""
        kind = np.result_type(*(answers[version] for version in self.parts)) if self.parts else np.dtype(np.float64)
        merged = np.empty(len(self.versions), dtype=kind)
        for version, places in self.parts.items():
            merged[places] = answers[version]
        return merged


def split(route: Route, columns: Mapping[str, Sequence[Key]], rows: int) -> Split:
    """Which version answers each of a request's rows.

    columns: of the request, the entity keys among them, each of so many rows. A row whose unit is not known goes to
    production, whatever the share.
    """
    if route.production is None:
        raise ValueError("nothing is in production")
    versions = np.full(rows, route.production, dtype=np.int64)
    if route.canary is not None:
        versions[share_of(units_of(columns, route.unit, rows), route.salt, route.percent)] = route.canary
    return Split(versions)


def _plain(value: Key) -> object:
    """NumPy's numbers as Python's, which JSON knows."""
    return value.item() if isinstance(value, np.generic) else value
