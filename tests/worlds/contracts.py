"""Contracts of small sources: of events, and of attributes, which hold until a later drop says otherwise."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from transformations.contracts import Column, Contract

NEW_YORK = "America/New_York"


def event_source(name: str, columns: Sequence[Column], *, at: str, key: Sequence[str] = (), **facts: Any) -> Contract:
    """A source of events, appended drop by drop. at: the column of their time, in UTC; facts: what else differs."""
    return _source(name, columns, key, {"event_time": at, "valid_from": None, "delivery": "append", **facts})


def attribute_source(name: str, columns: Sequence[Column], *, key: Sequence[str], **facts: Any) -> Contract:
    """A source of which each drop is the whole content, valid from that drop on, the first from the year 2017 on."""
    since = datetime(2017, 1, 1, tzinfo=UTC)
    return _source(name, columns, key, {"event_time": None, "valid_from": since, "delivery": "snapshot", **facts})


def _source(name: str, columns: Sequence[Column], key: Sequence[str], facts: dict[str, Any]) -> Contract:
    usual = {
        "version": "1.0.0",
        "description": name.replace("_", " ").capitalize(),
        "owner": "tests@example.com",
        "timestamp_zone": "UTC",
        "business_day_zone": NEW_YORK,
    }
    return Contract(name=name, columns=tuple(columns), key=tuple(key), **usual | facts)
