"""Rows set aside: each with the rules that it breaks, so that the rest of a drop can be taken and nothing is lost.

Only what is wrong with single rows can be set aside. A row that breaks a check of values goes first, so that of two
rows with one key the good one may stay; where both are good, neither is taken, for nothing says which is right:

    row  id  amount      set aside     by
    1    7   5           no
    2    7   -1          yes           range of amount
    3    8   5           yes           unique key id
    4    8   6           yes           unique key id
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from transformations.contracts import Contract
from transformations.contracts.quality import QualityRule
from transformations.engine.base.errors import UsageError
from transformations.engine.base.words import plural
from transformations.engine.raw import raw_sql
from validation.delivery import quarantine_sql
from validation.delivery.check_specs import CheckSpec
from validation.delivery.checks import Aside, Report, Sources, Violation
from validation.delivery.checks_sql import broken_condition, canonical_values
from validation.files.column_names import ROW
from validation.files.drop_files import DropFile
from validation.quality.profile import violation_sql
from validation.readings.conversions import Conversion

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MOST_ROUNDS = 6
"""Rows set aside may bring others to light: a key, then a reference, then rules of quality."""
_OF_SCHEMA = ("missing column", "unknown column", "dtype")


@dataclass(frozen=True)
class Quarantine:
    """The rows that have been set aside so far, as a table of the connection: `row` and `rule`."""

    connection: DuckDBPyConnection
    contract: Contract
    file: DropFile
    conversions: Mapping[str, Conversion]

    def __post_init__(self) -> None:
        if self.contract.quarantine_allowed is None:
            raise UsageError(
                f"{self.contract.file_name}: the contract lets no row be set aside. Leave --quarantine out, or write "
                f"into the source's customProperties which share may be: quarantineAllowed, such as 0.01."
            )
        self.connection.execute(quarantine_sql.NEW_TABLE)

    def rest(self) -> DropFile:
        """The delivery without these rows."""
        return self.file.without(quarantine_sql.NUMBERS)

    def add(self, report: Report, sources: Sources) -> int:
        """Set aside the rows that break the report's rules of one kind; returns how many they are.

        0 where something is wrong that cannot be blamed on single rows.
        """
        if any(violation.spec.rule in _OF_SCHEMA for violation in report.violations):
            return 0
        before = self._count()
        for queries in (self._by_values(report), self._by_keys(report), self._by_references(report, sources)):
            if queries:
                break
        else:
            queries = self._by_quality(report)
        if queries:
            self.connection.execute(quarantine_sql.set_aside_statement(queries))
        return self._count() - before

    def taken(self) -> Aside:
        """The rows set aside, as they were delivered, with place and rules."""
        names = [name for name in self.contract.column_names if name in self.file.types]
        found = self.connection.sql(quarantine_sql.taken_query(self.file.rows(names), names)).to_arrow_table()
        places = pa.array([self.file.place(row) for row in found[ROW].to_pylist()], pa.string())
        rows = found.drop_columns([ROW, "_rules"]).append_column("_place", places)
        counts = self.connection.execute(quarantine_sql.RULES_QUERY).fetchall()
        return Aside(rows.append_column("_rules", found["_rules"]), dict(counts))

    def too_many(self, rows: int) -> Violation | None:
        """The violation where more rows break rules than the contract allows to be set aside."""
        count, allowed = self._count(), self.contract.quarantine_allowed or 0.0
        if count / rows <= allowed and count < rows:  # the quotient is the contract's own double: 29 of 100 is 0.29
            return None
        return Violation(
            CheckSpec("quarantine", ()),
            f"{self.contract.file_name}: {count:,} of {plural(rows, 'row')} of drop {self.file.name} would have to be "
            f"set aside ({count / rows:.2%}), quarantineAllowed is {allowed:.2%}"
            f"{'' if count < rows else ', and no row would be left'}. Fix the source.",
        )

    def _count(self) -> int:
        ((count,),) = self.connection.execute(quarantine_sql.COUNT_QUERY).fetchall()
        return int(count)

    def _by_values(self, report: Report) -> dict[str, str]:
        found: dict[str, str] = {}
        for spec in (violation.spec for violation in report.violations):
            condition = broken_condition(spec, self.conversions[spec.columns[0]]) if spec.rule != "quality" else None
            if condition is not None:
                rows = self.rest().rows([spec.columns[0]])
                found[f"{spec.rule} of {spec.columns[0]}"] = quarantine_sql.rows_that(rows, condition)
        return found

    def _by_keys(self, report: Report) -> dict[str, str]:
        if all(violation.spec.rule != "unique key" for violation in report.violations):
            return {}
        key = self.contract.key
        rows = canonical_values(self.rest(), self.conversions, key)
        return {f"unique key {', '.join(key)}": quarantine_sql.rows_of_repeated_keys(rows, key)}

    def _by_references(self, report: Report, sources: Sources) -> dict[str, str]:
        found: dict[str, str] = {}
        for reference in (violation.spec.reference for violation in report.violations):
            if reference is None:
                continue
            other, snapshot = sources[reference.source]
            if snapshot is None:
                return {}
            known = raw_sql.current_rows(self.connection, other, snapshot.files, snapshot.supersedes)
            rows = canonical_values(self.rest(), self.conversions, reference.columns)
            label = f"reference {', '.join(reference.columns)} to {reference.source}"
            found[label] = quarantine_sql.rows_without_reference(rows, reference, known)
        return found

    def _by_quality(self, report: Report) -> dict[str, str]:
        broken: Sequence[QualityRule] = [each.rule for each in report.quality.errors] if report.quality else []
        found: dict[str, str] = {}
        for rule in broken:
            if (condition := violation_sql(rule, self.conversions)) is None:
                return {}
            rows = self.rest().rows([rule.columns[0]])
            found[f"rule {rule.name}"] = quarantine_sql.rows_that(rows, condition)
        return found
