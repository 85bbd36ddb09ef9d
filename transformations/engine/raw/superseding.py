"""What a drop that is no correction may do to stored rows: replace few, on their own day, and bring none back.

An append drop that is no correction, against what is stored:

    stored now           delivered            the drop is
    id 1, 3 May, 10 EUR  id 1, 3 May, 12 EUR  accepted, if such rows are at most supersedesAllowed of its own
    id 1, 3 May, 10 EUR  id 1, 4 May, 10 EUR  refused: the row is of another business day
    id 1, 3 May, 12 EUR  id 1, 3 May, 10 EUR  refused if 10 EUR was stored before 12: an older file delivered again
    id 1, retracted      id 1, 3 May, 12 EUR  refused if that is the row that was retracted

An upsert may replace any rows; a drop of whole days all rows of these days, and none of another. Either may bring rows
back, so only a file that is byte for byte an earlier one is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transformations.contracts import Contract
from transformations.engine.base.business_days import day_of_number, days_of_instants
from transformations.engine.base.errors import DataError
from transformations.engine.base.moments import moment_text, value_text
from transformations.engine.base.words import plural
from transformations.engine.raw import raw_sql
from transformations.engine.raw.drops import Drop, Origin
from transformations.engine.raw.files import BUSINESS_DAY, DROP, RAW_TIMESTAMP, RETRACTED
from transformations.engine.vocabulary.dtypes import UNIX_TIMESTAMP

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_EXAMPLES = 3


def refuse_superseding(connection: DuckDBPyConnection, contract: Contract, changes: raw_sql.Changes, file: str) -> None:
    """DataError if a drop that is no correction replaces rows of another business day, or too many rows.

    Too many: more than the contract's `supersedesAllowed`, as a share of the rows delivered. Snapshots, and records
    without an event time, are not checked: a later row does not replace the earlier one but follows it.
    """
    if not changes.supersedes or not _replaces_by_key(contract) or contract.delivery == "upsert":
        return
    replaced = connection.sql(raw_sql.replaced_query(contract)).to_arrow_table()
    if not replaced.num_rows:
        return
    before = replaced[BUSINESS_DAY].to_numpy()
    micros = replaced[RAW_TIMESTAMP].cast(UNIX_TIMESTAMP.arrow).cast(pa.int64()).to_numpy()
    after = days_of_instants(micros, contract.business_day_zone)
    if contract.delivery == "replace-partition":
        _refuse_other_days(contract, replaced, before, changes, file)
        return
    moved = np.flatnonzero(before != after)
    share = replaced.num_rows / changes.delivered
    if not moved.size and share <= contract.supersedes_allowed:
        return
    rows = moved if moved.size else np.arange(replaced.num_rows)
    examples = ", ".join(
        f"{_key_text(contract, replaced, row)} of {day_of_number(int(before[row]))}"
        + (f" by one of {day_of_number(int(after[row]))}" if moved.size else "")
        for row in rows[:_EXAMPLES].tolist()
    )
    raise DataError(
        f"{contract.file_name}: drop {file} would replace {plural(replaced.num_rows, 'stored row')}, "
        f"{_days_text(before)}, by their key: {moved.size:,} of them by rows of another business day (allowed without "
        f"a word: 0), and {share:.2%} of the {plural(changes.delivered, 'row')} delivered (allowed: "
        f"{contract.supersedes_allowed:.2%}), such as {examples}. If it corrects these rows, say --correction. If they "
        f"are new rows, the key does not identify a row: mend primaryKey, or raise supersedesAllowed. Nothing was "
        f"written."
    )


def refuse_reverting(
    connection: DuckDBPyConnection,
    contract: Contract,
    drops: Sequence[Drop],
    changes: raw_sql.Changes,
    origin: Origin,
    *,
    is_dated: bool,
) -> None:
    """DataError if a drop that is no correction undoes later drops, as an older file would.

    Rows with a key and an event time are compared one by one. Snapshots, and records without an event time, hold from
    their own moment: a file with the name and bytes of an earlier drop is refused unless it is_dated, that is, unless
    the command says from when it holds.
    """
    if contract.delivery in ("upsert", "replace-partition"):
        _refuse_earlier_file(contract, drops, origin)
        return
    if _replaces_by_key(contract):
        if changes.supersedes:
            _refuse_reverted_rows(connection, contract, drops, origin)
        return
    known = next((drop for drop in drops[:-1] if _is_of_file(drop, origin)), None)
    if known is None or is_dated or not contract.key or _is_of_file(drops[-1], origin):
        return
    raise DataError(
        f"{contract.file_name}: {origin.file_name} is byte for byte the file of drop {known.number}, ingested at "
        f"{moment_text(known.ingested_at, contract.business_day_zone)}; drop {drops[-1].number} "
        f"({drops[-1].file_name}) came after it, and what it says would end now. If the older content holds again, say "
        f"from when by --valid-from. Nothing was written."
    )


def _refuse_other_days(
    contract: Contract, replaced: pa.Table, before: npt.NDArray[np.int32], changes: raw_sql.Changes, file: str
) -> None:
    """DataError for rows whose key stands at a business day that the drop, of whole days, does not deliver."""
    moved = np.flatnonzero(~np.isin(before, changes.days))
    if moved.size:
        examples = ", ".join(
            f"{_key_text(contract, replaced, row)} of {day_of_number(int(before[row]))}"
            for row in moved[:_EXAMPLES].tolist()
        )
        raise DataError(
            f"{contract.file_name}: drop {file} replaces whole business days, and would replace "
            f"{plural(int(moved.size), 'row')} of days that it does not deliver, by their key, such as {examples}. If "
            f"these rows moved to another day, say --correction; if not, the key does not identify a row: mend "
            f"primaryKey. Nothing was written."
        )


def _refuse_earlier_file(contract: Contract, drops: Sequence[Drop], origin: Origin) -> None:
    """DataError for the bytes of a drop that others came after."""
    known = next((drop for drop in drops[:-1] if _is_content_of(drop, origin)), None)
    if known is not None and not _is_content_of(drops[-1], origin):
        raise DataError(
            f"{contract.file_name}: {origin.file_name} is byte for byte the file of drop {known.number}, ingested at "
            f"{moment_text(known.ingested_at, contract.business_day_zone)}, and would bring back what later drops "
            f"replaced. Leave it out; or, if the later ones were wrong, say --correction. Nothing was written."
        )


def _refuse_reverted_rows(
    connection: DuckDBPyConnection, contract: Contract, drops: Sequence[Drop], origin: Origin
) -> None:
    reverted = connection.sql(raw_sql.reverted_query(contract)).to_arrow_table()
    if not reverted.num_rows:
        return
    names = {drop.number: f"drop {drop.number} ({drop.file_name})" for drop in drops}
    retracted = reverted[RETRACTED].to_pylist()
    numbers = reverted[DROP].to_pylist()
    examples = ", ".join(
        f"{_key_text(contract, reverted, row)}, {'retracted' if retracted[row] else 'replaced'} by "
        f"{names[numbers[row]]}"
        for row in range(min(reverted.num_rows, _EXAMPLES))
    )
    known = next((drop for drop in drops if drop.content_hash == origin.content_hash and not drop.retracts), None)
    which = "reads like an older file" if known is None else f"is byte for byte the file of drop {known.number}"
    them = "it" if reverted.num_rows == 1 else "them"
    raise DataError(
        f"{contract.file_name}: drop {origin.file_name} {which}: it would bring back "
        f"{plural(reverted.num_rows, 'row')} as stored before a later drop replaced or retracted {them}, such as "
        f"{examples}. Leave the file out; or, if the later drop was wrong, say --correction. Nothing was written."
    )


def _replaces_by_key(contract: Contract) -> bool:
    """Whether a row replaces the stored row of its key, whatever its time."""
    return bool(contract.key) and contract.event_time is not None and contract.placing == "append"


def _is_content_of(drop: Drop, origin: Origin) -> bool:
    return drop.content_hash == origin.content_hash and not drop.retracts


def _is_of_file(drop: Drop, origin: Origin) -> bool:
    return (drop.content_hash, drop.file_name, drop.retracts) == (origin.content_hash, origin.file_name, False)


def _days_text(days: npt.NDArray[np.int32]) -> str:
    first, last = day_of_number(int(days.min())), day_of_number(int(days.max()))
    return f"of {first}" if first == last else f"of the days {first} to {last}"


def _key_text(contract: Contract, rows: pa.Table, row: int) -> str:
    zone = contract.timestamp_zone
    return ", ".join(f"{name} {value_text(rows[name][row].as_py(), zone)}" for name in contract.key)
