"""The history of a model: a Parquet file a day, put in its place at once, so that a day is there whole or not at all.

monitoring/user_return/days/2024-05-20.parquet

A day that is judged again replaces its file. Reading a day costs what that day holds, however many there are before it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import date, timedelta
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from transformations.engine.base.disk_faults import faults_in_words
from transformations.engine.base.errors import DataError
from transformations.engine.base.files.published import published_in, pull, replacing
from transformations.engine.base.settings import Settings

Part = Literal["data", "features", "stored", "predictions", "skew"]
State = Literal["fine", "alert", "warning", "held", "shown"]
"""held: it follows a calendar, and there is too little of equal state to judge it by; an alert that stands waits.
warning: how days are judged needs somebody's hand, and nothing that was served is wrong.
"""
COUNTS = "counts"
"""The measure of a row that holds counts: what later days are compared with."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What was found of one subject (a feature, a view, the scores) by one measure.

    version: of the model; 0 for what no version has part in. limit: what the value was held against; None where it is
    only shown. importance: of a feature, by the version's evaluation. first_bad: the first day without a break on which
    the subject alerted. counts: on the baseline's bins, nulls last, in rows of the measure `counts`.
    """

    day: date
    version: int
    part: Part
    subject: str
    measure: str
    value: float | None
    limit: float | None = None
    state: State = "shown"
    rows: int = 0
    importance: float | None = None
    owner: str = ""
    first_bad: date | None = None
    text: str = ""
    counts: tuple[int, ...] | None = None

    @property
    def alerts(self) -> bool:
        """Whether somebody is to look at it."""
        return self.state == "alert"


_NEAR = 35
_SCHEMA = pa.schema(
    [
        ("day", pa.date32()),
        ("version", pa.int64()),
        ("part", pa.string()),
        ("subject", pa.string()),
        ("measure", pa.string()),
        ("value", pa.float64()),
        ("limit", pa.float64()),
        ("state", pa.string()),
        ("rows", pa.int64()),
        ("importance", pa.float64()),
        ("owner", pa.string()),
        ("first_bad", pa.date32()),
        ("text", pa.string()),
        ("counts", pa.list_(pa.int64())),
    ]
)


def model_folder(model: str, settings: Settings) -> Path:
    """Where all that is known of a model's days is kept."""
    return settings.monitoring_dir / model


def days_judged(model: str, settings: Settings) -> list[date]:
    """The days that have been judged, in their order."""
    files = published_in(model_folder(model, settings) / "days", "[!.@]*.parquet")
    return sorted(date.fromisoformat(file.stem) for file in files)


@faults_in_words()
def write_findings(model: str, day: date, findings: Sequence[Finding], settings: Settings) -> Path:
    """Put a day's findings in the place of those that it has, if any."""
    file = _file(model, day, settings)
    rows = [{each.name: getattr(finding, each.name) for each in fields(Finding)} for finding in findings]
    with replacing(file) as draft:
        pq.write_table(pa.Table.from_pylist(rows, _SCHEMA), draft, compression="zstd")
    return file


@faults_in_words()
def read_findings(model: str, day: date, settings: Settings) -> tuple[Finding, ...]:
    """A day's findings; none of a day that was not judged. DataError where its file cannot be read."""
    return _read(model, day, settings)


def _read(model: str, day: date, settings: Settings, chosen: pc.Expression | None = None) -> tuple[Finding, ...]:
    file = _file(model, day, settings)
    pull(file)
    if not file.is_file():
        return ()
    try:
        table = pq.read_table(file, partitioning=None, filters=chosen)
        if table.schema != _SCHEMA:
            raise pa.ArrowInvalid("it has other columns than this release writes")
        return tuple(_finding(row) for row in table.to_pylist())
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"{file} cannot be read: {error}. Remove it, and judge the day again: features monitor {model} --day {day}"
        ) from None


@faults_in_words()
def read_counts(model: str, day: date, parts: Collection[Part], settings: Settings) -> tuple[Finding, ...]:
    """The rows of a day that hold counts, of these parts: all that later days need of it."""
    return _read(model, day, settings, (pc.field("measure") == COUNTS) & pc.field("part").isin(list(parts)))


def last_before(model: str, day: date, settings: Settings) -> date | None:
    """The newest day before a day that was judged.

    The days just before are asked for one by one, so that this costs the same however many have been judged; only a
    history with a gap is listed.
    """
    near = (day - timedelta(days=each) for each in range(1, _NEAR + 1))
    found = next((each for each in near if _has_day(model, each, settings)), None)
    return found or max((each for each in days_judged(model, settings) if each < day), default=None)


def _finding(row: dict[str, object]) -> Finding:
    counts = row.pop("counts")
    return Finding(**row, counts=None if counts is None else tuple(counts))  # type: ignore[arg-type]


def _has_day(model: str, day: date, settings: Settings) -> bool:
    file = _file(model, day, settings)
    pull(file)
    return file.is_file()


def _file(model: str, day: date, settings: Settings) -> Path:
    return model_folder(model, settings) / "days" / f"{day.isoformat()}.parquet"


def counts_of(findings: Sequence[Finding], version: int) -> Iterator[tuple[str, tuple[int, ...], str]]:
    """What a day counted of each subject of a version, and its state, where it follows a calendar."""
    for each in findings:
        if each.measure == COUNTS and each.version == version and each.counts is not None:
            yield each.subject, each.counts, each.text
