"""Which columns might identify a row: the narrowest sets that are unique in a whole file, as guesses for its author.

Two rows that agree in a set of columns rule out every subset of what they agree in, so each failed try rules out many
others, and a few dozen queries settle what would be thousands of combinations:

    rows (a, b, c): (1, x, 7) and (1, x, 8) agree in {a, b}: no key without c
                    (1, x, 7) and (2, x, 7) agree in {b, c}: no key without a
    so the narrowest key that is left to try is {a, c}
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from validation.drafting.keys_sql import (
    count_distinct_rows,
    count_rows,
    differing_columns,
    estimate_distinct_values,
    first_rows,
)

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

SAMPLE_ROWS = 50_000  # columns that are no key in the sample are none in the file, at a fraction of its cost
KEYS_SHOWN = 5
_PAIRS = 200
QUERIES = 120
_BRANCHES = 20_000
_RANKS = {"String": 2, "Int64": 3, "UnixTimestamp": 4, "Date": 4, "Bool": 5, "Float64": 6}
_IDENTITY = re.compile(r"(?i:(.*_)?(id|key|uuid|guid|number|no|nr|code|ref|hash))|.*[a-z](Id|ID|Key|Number|Code)")


@dataclass(frozen=True)
class KeyColumn:
    """A column that could be part of a key: one without nulls."""

    name: str
    dtype: str

    @property
    def is_identity_by_name(self) -> bool:
        """Whether the name says that it identifies something."""
        return _IDENTITY.fullmatch(self.name) is not None and self.dtype in ("String", "Int64")

    @property
    def rank(self) -> int:
        """Lower is likelier in a key; measures come last."""
        return 1 if self.is_identity_by_name else _RANKS[self.dtype]


@dataclass(frozen=True)
class KeyGuess:
    """Sets of columns that are unique in the file, the likeliest first; repeated: rows equal to another in all columns.

    is_complete: whether no narrower set can be unique (the search ends early where it would take too long).
    """

    keys: tuple[tuple[str, ...], ...] = ()
    repeated: int = 0
    is_complete: bool = True


def guess_keys(
    connection: DuckDBPyConnection, table: str, columns: Sequence[KeyColumn], event_time: str | None
) -> KeyGuess:
    """The narrowest unique sets among the columns of a table that also has `_row`.

    With an event time, every set holds it: a key without it would let a later day's rows supersede an earlier's. Only a
    single column that is unique by itself may do without, and comes first where its name says that it identifies.
    """
    ranked = sorted(columns, key=lambda column: (column.name != event_time, column.rank))
    rows = _Rows(connection, table, [column.name for column in ranked])
    if not ranked or rows.count < 2:
        return KeyGuess()
    search = _Search(rows, ranked)
    is_timed = ranked[0].name == event_time
    alone = search.unique_alone(ranked[1:]) if is_timed else []
    found, is_complete = search.narrowest(forced=1 if is_timed else 0)
    if not found and (repeated := rows.count_repeated()):
        return KeyGuess(repeated=repeated)
    found = found or [search.spare(forced=1 if is_timed else 0)]
    identities = [column.name for column in ranked if column.name in alone and column.is_identity_by_name]
    keys = [*((name,) for name in identities), *found, *((name,) for name in alone if name not in identities)]
    return KeyGuess(tuple(dict.fromkeys(keys))[:KEYS_SHOWN], is_complete=is_complete)


class _Rows:
    """A table's rows, and a sample of them, asked for pairs that agree in some columns."""

    def __init__(self, connection: DuckDBPyConnection, table: str, names: Sequence[str]) -> None:
        self.connection, self.table, self.names = connection, table, names
        (self.count,) = connection.execute(count_rows(table)).fetchall()[0]
        self.queries = 0

    def count_repeated(self) -> int:
        """How many rows equal an earlier one in all columns."""
        (distinct,) = self.connection.execute(count_distinct_rows(self.table, self.names)).fetchall()[0]
        return int(self.count - distinct)

    def differences(self, key: Sequence[str]) -> list[int]:
        """For pairs of rows that agree in the key, the columns (bits) in which they differ; none where it is unique."""
        if self.count > SAMPLE_ROWS and (found := self._differences_within(key, SAMPLE_ROWS)):
            return found
        return self._differences_within(key, self.count)

    def _differences_within(self, key: Sequence[str], until: int) -> list[int]:
        self.queries += 1
        rows = self.table if until >= self.count else first_rows(self.table, until)
        pairs = self.connection.execute(differing_columns(rows, self.names, key, _PAIRS)).fetchall()
        return [sum(1 << place for place, differs in enumerate(row[0]) if differs) for row in pairs]


class _Search:
    """The search for sets of columns, as bits in the order of `columns`, that every known pair of rows differs in."""

    def __init__(self, rows: _Rows, columns: Sequence[KeyColumn]) -> None:
        self.rows, self.columns = rows, columns
        self.differences: list[int] = []
        self.is_complete = True

    def unique_alone(self, columns: Sequence[KeyColumn]) -> list[str]:
        """The columns whose values are all different, in their order."""
        if not columns:
            return []
        query = estimate_distinct_values(self.rows.table, [column.name for column in columns])
        about = self.rows.connection.execute(query).fetchall()[0]
        likely = [column for column, n in zip(columns, about, strict=True) if n > 0.8 * self.rows.count]
        return [column.name for column in likely if not self._refuted_by(1 << self.columns.index(column))]

    def narrowest(self, forced: int) -> tuple[list[tuple[str, ...]], bool]:
        """The unique sets of the fewest columns that hold the forced ones, the likeliest first."""
        found: list[int] = []
        while self.rows.queries < QUERIES and len(found) < KEYS_SHOWN:
            width = found[0].bit_count() if found else None
            tried = next(self._next_candidates(forced, found, width), None)
            if tried is None:
                break
            if not self._refuted_by(tried):
                found.append(tried)
        return [self._names_of(each) for each in found], self.is_complete and bool(found)

    def _refuted_by(self, bits: int) -> list[int]:
        """Pairs of rows that agree in these columns; they narrow the search from then on."""
        pairs = self.rows.differences(self._names_of(bits))
        for new in pairs:
            if not any(known & new == known for known in self.differences):
                self.differences = [known for known in self.differences if known & new != new] + [new]
        self.differences.sort(key=int.bit_count)
        return pairs

    def _next_candidates(self, forced: int, found: Sequence[int], width: int | None) -> Iterator[int]:
        """The best set in which all known pairs differ and that holds no found key; of `width` columns, if given."""
        for allowed in [width] if width else range(max(1, forced.bit_count()), len(self.columns) + 1):
            branches = [_BRANCHES]
            sets = {
                each for each in self._sets_hitting(forced, allowed, branches) if not any(k & each == k for k in found)
            }
            if branches[0] <= 0:
                self.is_complete = False
                if not sets:
                    return
            if sets:
                yield min(sets, key=self._cost_of)

    def _sets_hitting(self, bits: int, width: int, branches: list[int]) -> Iterator[int]:
        branches[0] -= 1
        if 0 in self.differences:  # two rows that are equal in every column: no set tells them apart
            return
        open_pair = next((pair for pair in self.differences if not pair & bits), None)
        if open_pair is None:
            if bits:
                yield bits
            else:
                yield from (1 << place for place in range(len(self.columns)))
            return
        if bits.bit_count() == width:
            return
        for place in range(len(self.columns)):
            if open_pair >> place & 1 and branches[0] > 0:
                yield from self._sets_hitting(bits | 1 << place, width, branches)

    def _cost_of(self, bits: int) -> tuple[int, int, int]:
        ranks = sum(column.rank for place, column in enumerate(self.columns) if bits >> place & 1)
        return bits.bit_count(), ranks, bits

    def spare(self, forced: int) -> tuple[str, ...]:
        """All columns but those that can be spared one by one, the unlikeliest first: a key, if not the narrowest."""
        bits = (1 << len(self.columns)) - 1
        for place in reversed(range(len(self.columns))):
            spared = bits & ~(1 << place)
            if spared and not forced >> place & 1 and not self._refuted_by(spared):
                bits = spared
        return self._names_of(bits)

    def _names_of(self, bits: int) -> tuple[str, ...]:
        return tuple(column.name for place, column in enumerate(self.columns) if bits >> place & 1)
