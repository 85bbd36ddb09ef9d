"""Rows of a view's table by hand, as Parquet files: what the measured statistics are of."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.worlds.contracts import NEW_YORK, event_source
from transformations import LIFETIME, Count, Last, LastK, Mean, WindowedFeatures, at_least, between, days
from transformations.contracts import Column
from transformations.engine.tables.offline_tables import table_schema
from transformations.engine.vocabulary.resolution import Resolved, resolve

DAY = date(2024, 3, 1)
CLICKS = event_source(
    "clicks",
    [
        Column("click_id", "Int64", False, "Identity"),
        Column("user_id", "Int64", False, "User"),
        Column("seconds", "Float64", True, "How long"),
        Column("page", "String", True, "Where"),
        Column("mail", "String", True, "Whose", pii="personal"),
        Column("clicked_at", "UnixTimestamp", False, "When"),
    ],
    key=["click_id"],
    at="clicked_at",
)
FACTS: Mapping[str, str] = {"description": "What", "unit": "units"}
USER_CLICKS = WindowedFeatures(
    name="user_clicks",
    join_key="user_id",
    source="clicks",
    windows=[days(7)],
    description="What a user clicks",
    features=[
        Count(name="clicks", windows=[days(7), LIFETIME], expect=at_least(0), **FACTS),
        Mean("seconds", name="seconds", expect=between(0, 100), **FACTS),
        Last("page", name="page", **FACTS),
        Last("mail", name="mail", **FACTS),
        Last("clicked_at", name="click_at", windows=[LIFETIME], **FACTS),
        LastK("page", k=3, name="pages", **FACTS),
    ],
)
VIEW: Resolved = resolve(USER_CLICKS, {"clicks": CLICKS}.__getitem__)
ZONE = NEW_YORK


def row(user: int, *, as_of: date = DAY, created: int = 0, **features: Any) -> dict[str, Any]:
    """A stored row; created: seconds after it could be served."""
    moment = VIEW.available_from(as_of)
    keys = {"user_id": user, "event_timestamp": moment, "created_timestamp": moment + timedelta(seconds=created)}
    return {**keys, **features}


def write(folder: Path, *files: Iterable[Mapping[str, Any]]) -> Sequence[str]:
    """The files of a table, from their rows."""
    schema, paths = table_schema(VIEW), []
    for number, rows in enumerate(files):
        path = folder / f"{number}.parquet"
        pq.write_table(pa.Table.from_pylist([{**dict.fromkeys(schema.names), **each} for each in rows], schema), path)
        paths.append(str(path))
    return paths


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
