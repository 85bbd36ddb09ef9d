"""The distribution of a feature's stored values, from a bounded sample of its view's offline table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from transformations.engine.base import duck
from transformations.engine.base.moments import EVENT_TIMESTAMP
from transformations.insight.site import distributions_sql as sql

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from transformations.engine.tables.offline_tables import TableVersion

MOST_ROWS = 100_000
"""About how many rows of a table are looked at."""
_MOST_VALUES = 12
_LONGEST_VALUE = 60
_BINS = 24


@dataclass(frozen=True)
class Bar:
    """Rows with one value, or with values from `label` up to the next bar's."""

    label: str
    rows: int


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """Rows by value. rows: in the sample; nulls: of these. outside: rows with values beyond the bars.

    is_binned: bars are ranges of equal width from low to high, else single values. quantiles: label and value.
    axis: what the values are, such as `value` or `number of items`. is_sample: whether the table has more rows.
    """

    version: int
    rows: int
    nulls: int
    outside: int
    bars: tuple[Bar, ...]
    is_binned: bool
    low: str = ""
    high: str = ""
    axis: str = "value"
    quantiles: tuple[tuple[str, str], ...] = ()
    is_sample: bool = False


def distributions_of(version: TableVersion, keys: Sequence[str], features: Sequence[str]) -> Mapping[str, Distribution]:
    """By feature, the distribution of its values in one version of a view's table.

    Features that the version does not store yet, and those of types without an order or names, are left out. The rows
    are chosen by a hash of key and time, so that the same table gives the same distribution.
    """
    if not version.files or not version.rows:
        return {}
    stride = -(-version.rows // MOST_ROWS)
    with duck.session() as connection:
        types = {name: kind for name, kind, *_ in connection.execute(sql.columns(version.files)).fetchall()}
        stored = [name for name in features if name in types]
        chosen = [name for name in (*keys, EVENT_TIMESTAMP) if name in types]
        if not stored:
            return {}
        connection.execute(sql.sample(version.files, stored, chosen, stride))
        found = {name: _distribution_of(connection, name, types[name], version.version, stride > 1) for name in stored}
    return {name: distribution for name, distribution in found.items() if distribution is not None}


def _distribution_of(
    connection: DuckDBPyConnection, name: str, kind: str, version: int, is_sample: bool
) -> Distribution | None:
    form = sql.form_of(kind)
    if form is None:
        return None
    rows, nulls, distinct = connection.execute(sql.counts(name)).fetchall()[0]
    if form is sql.Form.NAMES or (form is sql.Form.NUMBERS and distinct <= _MOST_VALUES):
        values = connection.execute(sql.most_frequent(name, _MOST_VALUES)).fetchall()
        bars = [Bar(_value_text(value), count) for value, count in values]
        if form is sql.Form.NUMBERS:
            bars = [bar for _, bar in sorted(zip(values, bars, strict=True), key=lambda pair: float(pair[0][0]))]
        outside = rows - nulls - sum(bar.rows for bar in bars)
        return Distribution(
            version=version,
            rows=rows,
            nulls=nulls,
            outside=outside,
            bars=tuple(bars),
            is_binned=False,
            is_sample=is_sample,
        )
    return _binned_distribution(connection, name, form, version=version, rows=rows, nulls=nulls, is_sample=is_sample)


def _binned_distribution(
    connection: DuckDBPyConnection, name: str, form: sql.Form, *, version: int, rows: int, nulls: int, is_sample: bool
) -> Distribution:
    """Bars of equal width over the middle 98 % of the values: a few extreme ones would squeeze all others."""
    least, low, early, median, late, high, most = connection.execute(sql.quantiles(name, form)).fetchall()[0]
    as_text = _moment_text if form is sql.Form.TIMES else _number_text
    bars: tuple[Bar, ...] = ()
    quantiles: tuple[tuple[str, str], ...] = ()
    outside = rows - nulls
    if least is not None:
        if low == high:
            low, high = least, most
        width = (high - low) / _BINS or 1.0
        counted = dict(connection.execute(sql.bins(name, form, low, high, width, _BINS)).fetchall())
        bars = tuple(Bar(as_text(low + number * width), counted.get(number, 0)) for number in range(_BINS))
        outside -= sum(bar.rows for bar in bars)
        named = (("least", least), ("5 %", early), ("median", median), ("95 %", late), ("greatest", most))
        quantiles = tuple((label, as_text(value)) for label, value in named)
    return Distribution(
        version=version,
        rows=rows,
        nulls=nulls,
        outside=outside,
        bars=bars,
        is_binned=True,
        low=as_text(low) if least is not None else "",
        high=as_text(high) if least is not None else "",
        axis="number of items" if form is sql.Form.LISTS else "value",
        quantiles=quantiles,
        is_sample=is_sample,
    )


def _value_text(value: object) -> str:
    if isinstance(value, float):
        return _number_text(value)
    text = str(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 1]}…"


def _number_text(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() and abs(value) < 1e15 else f"{value:,.4g}"


def _moment_text(micros: float) -> str:
    try:
        return datetime.fromtimestamp(micros / 1e6, UTC).strftime("%Y-%m-%d")
    except (ValueError, OverflowError, OSError):
        return f"{micros:.0f} µs since 1970"
