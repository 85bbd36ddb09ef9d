"""The moment from which the rows of a source without event time hold."""

from __future__ import annotations

from datetime import datetime

from transformations.contracts import Contract
from transformations.engine.base.errors import DataError, UsageError
from transformations.engine.base.moments import as_utc, moment_text
from transformations.engine.raw.drops import RawSnapshot


def valid_from(
    contract: Contract, asked: datetime | None, before: RawSnapshot | None, now: datetime
) -> datetime | None:
    """The asked moment, the contract's for the first drop, or now; None for rows with an event time of their own.

    DataError for a moment before recorded content or after the clock, UsageError where rows have an event time.
    """
    if contract.event_time is not None:
        if asked is not None:
            raise UsageError(
                f"{contract.file_name}: rows of {contract.name} happen at their own {contract.event_time!r}; "
                f"a valid-from moment does not apply. Leave it out."
            )
        return None
    first = contract.valid_from if before is None else now
    moment = as_utc(asked or first or now)
    zone = contract.business_day_zone
    if moment > as_utc(now) + contract.future_allowed:
        raise DataError(
            f"{contract.name}: content that holds from {moment_text(moment, zone)} lies after the clock "
            f"({moment_text(as_utc(now), zone)}), and nothing of before then could follow it. Mend --valid-from or the "
            f"contract's validFrom, or state in the contract by how much it may lie ahead: futureAllowed."
        )
    newest = max((drop.valid_from for drop in before.drops if drop.valid_from), default=None) if before else None
    if newest is not None and moment < newest:
        raise DataError(
            f"{contract.name}: the newest content holds from {moment_text(newest, zone)}, after "
            f"{moment_text(moment, zone)}. Give a moment not before it (`--valid-from`); at the very same moment a "
            f"drop corrects that content."
        )
    return moment
