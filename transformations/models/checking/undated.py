"""Sources that hold from the day they are delivered, and which a spine's query reads without asking since when.

A source without an event time counts as known from its first drop on. Where something in it only comes true later, as
an offer that starts in a month, a query that counts its rows counts the future. No figure tells: the count is the same
at every moment, and so it is one horizon earlier. What tells is that the query names none of the columns that date it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from transformations.contracts import Contract
from transformations.datasets.config import DatasetConfig
from transformations.stores.training.spine_sql import RAW, names_in

_DATES = ("Date", "UnixTimestamp")


def undated_sources(config: DatasetConfig, known: Mapping[str, Contract]) -> tuple[str, ...]:
    """What is wrong with each such source that the query reads: a sentence each. known: the contracts by source."""
    if config.spine.query is None:
        return ()
    named = names_in(config.spine.query)
    read = sorted(table for zone, table in named.tables if zone == RAW and table in known)
    found = []
    for source in read:
        dates = dict(_dates_of(known[source], known))
        if known[source].event_time is None and dates and not {column.lower() for column in dates} & named.columns:
            listed = " or ".join(f"{column} of {owner}" for column, owner in dates.items())
            found.append(
                f"the spine's query reads {RAW}.{source}, which has no event time, and not {listed}: its rows count as "
                f"known before they come true. Compare it with the row's moment"
            )
    return tuple(found)


def _dates_of(contract: Contract, known: Mapping[str, Contract]) -> Iterator[tuple[str, str]]:
    """The columns that date a source's rows: its own, and those of sources without event time that it refers to."""
    referred = [known[each.source] for each in contract.references if each.source in known]
    for owner in (contract, *(each for each in referred if each.event_time is None)):
        for column in owner.columns:
            if column.dtype in _DATES:
                yield column.name, owner.name
