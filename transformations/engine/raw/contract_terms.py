"""What a contract promises of stored rows, as plain values, and which changes of it keep the promise.

Compatible is a change after which every row that was stored before still conforms, and every reader still finds what it
read: a new column that may be null, a wider range, more allowed values, nulls where there were none. Everything else is
incompatible and needs a new major version (semver.org), so that nobody meets it unannounced.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from transformations.contracts.model import Contract

Terms = Mapping[str, Any]
"""The terms of a contract as JSON has them: of the source, and by column."""

RETURNED = "returned column"
_SEMANTIC = re.compile(r"v?(\d+)\.\d+(\.\d+)?([-+].*)?")


@dataclass(frozen=True, kw_only=True)
class TermChange:
    """One changed term. place: `source` or `source.column`."""

    place: str
    term: str
    before: object
    after: object
    is_compatible: bool

    def __str__(self) -> str:
        if self.term == RETURNED:
            return f"{self.place} is back, with the values that rows had before it was removed"
        if self.term == "column":
            return f"{self.place} is {'new' if self.before is None else 'gone'}"
        return f"{self.place}: {self.term} was {_term_text(self.before)}, is {_term_text(self.after)}"


def with_returned_columns(changes: Iterable[TermChange], stored: Container[str]) -> list[TermChange]:
    """The changes, where a new column that the table has `stored` once already is incompatible: under the terms that it
    had then, so that nothing is known of its values under the new ones.

        version 1   amount, at least 0     a row with 5 is stored
        version 2   no amount
        version 3   amount, at least 100   the row with 5 is still there
    """
    return [
        replace(change, term=RETURNED, is_compatible=False)
        if change.term == "column" and change.before is None and change.place.rpartition(".")[2] in stored
        else change
        for change in changes
    ]


def identity_of(contract: Contract) -> dict[str, Any]:
    """The parts of a contract that decide a row's key and time; they cannot change once rows are stored."""
    return {
        "key": list(contract.key),
        "event time": contract.event_time,
        "timestamp zone": contract.timestamp_zone,
        "business day zone": contract.business_day_zone,
        "delivery": contract.placing,
    }


def terms_of(contract: Contract) -> dict[str, Any]:
    """The terms of a contract, of JSON types alone."""
    return {
        "source": identity_of(contract)
        | {"valid from": contract.valid_from.isoformat() if contract.valid_from else None}
        | {"drops": contract.delivery},
        "columns": {
            column.name: {
                "dtype": column.dtype,
                "required": not column.nullable,
                "unit": column.unit,
                "minimum": column.minimum,
                "maximum": column.maximum,
                "valid values": list(column.allowed),
            }
            for column in contract.columns
        },
    }


def changes_between(source: str, before: Terms, after: Terms) -> list[TermChange]:
    """What differs between the terms of two versions, the source's first, then by column."""
    return [*_source_changes(source, before["source"], after["source"]), *_column_changes(source, before, after)]


def needs_version(changes: list[TermChange], before: str, after: str) -> str | None:
    """What is wrong with the contract's version, given these changes; None where nothing is.

    Versions that are no numbers with dots have only to differ.
    """
    if not changes:
        return None
    if before == after:
        return f"version is still {before}"
    old, new = _SEMANTIC.fullmatch(before), _SEMANTIC.fullmatch(after)
    incompatible = any(not change.is_compatible for change in changes)
    if incompatible and old and new and int(new[1]) <= int(old[1]):
        return f"version went from {before} to {after}, which promises that nothing breaks"
    return None


def _source_changes(source: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[TermChange]:
    for term, value in before.items():
        if after.get(term) != value:
            yield TermChange(place=source, term=term, before=value, after=after.get(term), is_compatible=False)


def _column_changes(source: str, before: Terms, after: Terms) -> Iterator[TermChange]:
    for name, old in before["columns"].items():
        place, new = f"{source}.{name}", after["columns"].get(name)
        if new is None:
            yield TermChange(place=place, term="column", before=old["dtype"], after=None, is_compatible=False)
            continue
        for term, value in old.items():
            if new.get(term) != value:
                is_compatible = _is_wider(term, value, new.get(term))
                yield TermChange(place=place, term=term, before=value, after=new.get(term), is_compatible=is_compatible)
    for name, new in after["columns"].items():
        if name not in before["columns"]:
            yield TermChange(
                place=f"{source}.{name}",
                term="column",
                before=None,
                after=new["dtype"],
                is_compatible=not new["required"],
            )


def _is_wider(term: str, before: Any, after: Any) -> bool:
    """Whether every value that conforms to the term as it was conforms to it as it is."""
    match term:
        case "required":
            return not after
        case "minimum":
            return after is None or (before is not None and after <= before)
        case "maximum":
            return after is None or (before is not None and after >= before)
        case "valid values":
            return not after or (bool(before) and set(before) <= set(after))
        case _:
            return False


def _term_text(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    return (", ".join(map(str, value)) or "none") if isinstance(value, list) else str(value)
