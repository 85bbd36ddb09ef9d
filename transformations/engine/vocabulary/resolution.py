"""A definition held against the contracts of its sources: dtypes, checks that need a schema, and the definition's
hash.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime
from functools import cached_property

from transformations.contracts import Column, Contract
from transformations.engine.base.business_days import start_of_day
from transformations.engine.base.errors import DefinitionError, nearest
from transformations.engine.vocabulary.conditions import Both, Comparison, Condition, IsNull, OtherColumn
from transformations.engine.vocabulary.definitions import DeclaredFeature, Definition, Lookup
from transformations.engine.vocabulary.dtypes import (
    BOOL,
    DATE,
    FLOAT64,
    INT64,
    STRING,
    UNIX_TIMESTAMP,
    Dtype,
    dtype_named,
)
from transformations.engine.vocabulary.functions import RowFunction

SEMANTICS = 1
"""Raised when the engine would compute another value from the same definition, so that tables are rebuilt."""

ReadContract = Callable[[str], Contract]


@dataclass(frozen=True)
class Feature:
    """A declared feature with the dtype that its aggregation gives on the source's columns."""

    declared: DeclaredFeature
    dtype: Dtype

    @property
    def name(self) -> str:
        """The feature's name in the view."""
        return self.declared.name


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Resolved:
    """A definition with its contracts: everything the engine, the stores and the documentation derive from it.

    columns: every column that a feature may read, with its dtype: the source's, looked up and derived ones.
    """

    definition: Definition
    contract: Contract
    lookups: Mapping[str, Contract]
    columns: Mapping[str, Dtype]
    features: tuple[Feature, ...]

    def __repr__(self) -> str:
        return f"Resolved({self.name!r}, {len(self.features)} features, {self.hash})"

    @property
    def name(self) -> str:
        """The view's name."""
        return self.definition.name

    @property
    def join_keys(self) -> dict[str, Dtype]:
        """The entity's columns with their dtypes."""
        return {key: self.columns[key] for key in self.definition.join_keys}

    @property
    def zone(self) -> str:
        """The zone whose calendar makes the business days."""
        return self.contract.business_day_zone

    def available_from(self, as_of: date) -> datetime:
        """When the values as-of a business day can be served: the event timestamp of their rows."""
        return start_of_day(as_of, self.zone) + self.definition.available_after

    @property
    def source_names(self) -> tuple[str, ...]:
        """The source and the sources of its lookups."""
        return (self.contract.name, *self.lookups)

    @cached_property
    def hash(self) -> str:
        """The first 16 hex digits of SHA-256 over all that decides the values of the view's table."""
        return _hash_of(self._identity_facts())[:16]

    @cached_property
    def feature_hashes(self) -> Mapping[str, str]:
        """By feature, the first 12 hex digits of SHA-256 over all that decides its values.

        Where two definitions have the same hash of a feature, their tables give the same values at every moment, as
        corrected and as served.
        """
        return {feature.name: _hash_of(self._facts_of_feature(feature))[:12] for feature in self.features}

    def source_columns(self, names: Collection[str]) -> list[str]:
        """The source columns behind these columns, as `source.column`; derived columns stand for their inputs.

        No columns at all: events are counted, which is by their time.
        """
        read = names or [self.contract.event_time or self.definition.join_keys[0]]
        derived = {function.name: function.inputs for function in self.definition.derived}
        looked_up = {column: lookup.source for lookup in self.definition.lookups for column in lookup.columns}
        found: set[str] = set()
        open_names = set(read)
        while open_names:
            name = open_names.pop()
            if name in derived:
                open_names.update(derived[name])
            else:
                found.add(f"{looked_up.get(name, self.contract.name)}.{name}")
        return sorted(found)

    def _columns_behind(self, names: Collection[str]) -> set[str]:
        """These columns and all that they derive from: parameters of derived columns, keys of lookups."""
        derived = {function.name: function.inputs for function in self.definition.derived}
        keys = {column: lookup.on for lookup in self.definition.lookups for column in lookup.columns}
        found: set[str] = set()
        open_names = set(names)
        while open_names:
            name = open_names.pop()
            found.add(name)
            open_names.update({*derived.get(name, ()), *keys.get(name, ())} - found)
        return found

    def _identity_facts(self) -> dict[str, object]:
        definition = self.definition
        return {
            **self._shared_facts(),
            "features": [_computation_of(feature) for feature in self.features],
            "derived": [(function.name, function.content_hash) for function in definition.derived],
            "lookups": [asdict(lookup) for lookup in definition.lookups],
            "sources": [_facts_of(contract) for contract in (self.contract, *self.lookups.values())],
        }

    def _facts_of_feature(self, feature: Feature) -> dict[str, object]:
        definition = self.definition
        read = self._columns_behind({*feature.declared.aggregation.columns(), *definition.join_keys})
        looked_up = {
            column: (lookup.source, lookup.on)
            for lookup in definition.lookups
            for column in lookup.columns
            if column in read
        }
        sources = {source for source, _ in looked_up.values()}
        return {
            **self._shared_facts(),
            "feature": _computation_of(feature),
            "derived": {each.name: each.content_hash for each in definition.derived if each.name in read},
            "lookups": looked_up,
            "sources": [_facts_of(self.contract), *(_facts_of(self.lookups[name]) for name in sorted(sources))],
            "awaited": sorted(self.source_names),  # a day is known once every source of the view has been ingested
        }

    def _shared_facts(self) -> dict[str, object]:
        return {
            "semantics": SEMANTICS,
            "view": self.definition.name,
            "join_keys": {key: str(dtype) for key, dtype in self.join_keys.items()},
            "available_after": self.definition.available_after.total_seconds(),
        }


def resolve(definition: Definition, read: ReadContract) -> Resolved:
    """Hold a definition against its sources' contracts.

    Raises DefinitionError for an unknown source column, a dtype that an aggregation cannot take, a condition that can
    never hold, or a lookup that does not fit; ContractError where a contract is missing.
    """
    contract = read(definition.source)
    lookups = {lookup.source: read(lookup.source) for lookup in definition.lookups}
    columns = _columns_with_dtypes(contract)
    for lookup in definition.lookups:
        columns |= _looked_up(definition, lookup, lookups[lookup.source], columns)
    for function in definition.derived:
        columns[function.name] = _derived_dtype(definition, function, columns)
    for key in definition.join_keys:
        _refuse_unknown(definition, f"join key {key!r}", key, columns)
        if columns[key] not in (INT64, STRING):
            raise DefinitionError(
                f"{definition.name}: join key {key!r} is {columns[key]}. Join keys are Int64 or String."
            )
        if any(function.name == key for function in definition.derived):
            raise DefinitionError(
                f"{definition.name}: join key {key!r} is a derived column. Key by a source or lookup column."
            )
    known = {name: lookups[each.source].column(name) for each in definition.lookups for name in each.columns}
    known |= {column.name: column for column in contract.columns}
    features = tuple(_resolve_feature(definition, declared, columns, known) for declared in definition.declared)
    return Resolved(definition=definition, contract=contract, lookups=lookups, columns=columns, features=features)


def _columns_with_dtypes(contract: Contract) -> dict[str, Dtype]:
    """The raw zone's columns: a date-only event time stands there as the instant of its day's end."""
    columns = {column.name: dtype_named(column.dtype) for column in contract.columns}
    return columns | ({contract.event_time: UNIX_TIMESTAMP} if contract.event_time else {})


def _resolve_feature(
    definition: Definition, declared: DeclaredFeature, columns: Mapping[str, Dtype], known: Mapping[str, Column]
) -> Feature:
    for column in sorted(declared.aggregation.columns()):
        _refuse_unknown(definition, f"feature {declared.name}: column {column!r}", column, columns)
    for part in declared.aggregation.parts():
        if part.where is not None:
            _check_condition(definition, declared, part.where, columns, known)
    try:
        dtype = declared.aggregation.dtype(columns)
    except DefinitionError as error:
        raise DefinitionError(f"{definition.name}: feature {declared.name}: {error}") from None
    if DATE.name in dtype.name:
        raise DefinitionError(
            f"{definition.name}: feature {declared.name} would be a Date, which Feast lacks. Derive a number."
        )
    return Feature(declared, dtype)


def _looked_up(
    definition: Definition, lookup: Lookup, contract: Contract, columns: Mapping[str, Dtype]
) -> dict[str, Dtype]:
    place = f"{definition.name}: lookup in {lookup.source}"
    if set(lookup.on) != set(contract.key):
        raise DefinitionError(
            f"{place} is by {', '.join(lookup.on)}, its contract key is {', '.join(contract.key)}. Use the key."
        )
    theirs = _columns_with_dtypes(contract)
    for name in lookup.on:
        _refuse_unknown(definition, f"lookup in {lookup.source}: column {name!r}", name, columns)
        if columns[name] != theirs[name]:
            raise DefinitionError(
                f"{place}: {name} is {columns[name]} in the events and {theirs[name]} there. Align the contracts."
            )
    for name in lookup.columns:
        if name not in theirs:
            raise DefinitionError(f"{place}: it has no column {name!r}: {nearest(name, theirs)}")
        if name in columns:
            raise DefinitionError(f"{place}: the events have a column {name!r} already. Leave it out of the lookup.")
    return {name: theirs[name] for name in lookup.columns}


def _derived_dtype(definition: Definition, function: RowFunction, columns: Mapping[str, Dtype]) -> Dtype:
    for name, dtype in function.parameters:
        _refuse_unknown(definition, f"derived column {function.name}: parameter {name!r}", name, columns)
        if columns[name] != dtype:
            raise DefinitionError(
                f"{definition.name}: derived column {function.name} declares {name} as {dtype}, "
                f"the source has {columns[name]}. Change the annotation."
            )
    if function.name in columns:
        raise DefinitionError(f"{definition.name}: derived column {function.name} exists already. Rename the function.")
    return function.returns


def _refuse_unknown(definition: Definition, what: str, name: str, columns: Mapping[str, Dtype]) -> None:
    if name not in columns:
        raise DefinitionError(f"{definition.name}: {what} is not in {definition.source}: {nearest(name, columns)}")


def _check_condition(
    definition: Definition,
    declared: DeclaredFeature,
    condition: Condition,
    columns: Mapping[str, Dtype],
    known: Mapping[str, Column],
) -> None:
    place = f"{definition.name}: feature {declared.name}: condition `{condition}`"
    for leaf in condition.leaves():
        of_leaf = place if str(leaf) == str(condition) else f"{place}: `{leaf}`"
        if isinstance(leaf, IsNull):
            continue  # even a required column is null in drops from before the contract had it
        column = known.get(leaf.column)
        _check_dtypes(of_leaf, leaf, columns)
        if column is not None and not isinstance(leaf.value, OtherColumn):
            _check_possible(of_leaf, leaf.symbol, leaf.value, column)
    wanted: dict[str, object] = {}
    for leaf in _all_of(condition):
        if leaf.symbol == "==" and wanted.setdefault(leaf.column, leaf.value) != leaf.value:
            raise DefinitionError(
                f"{place} can never hold: {leaf.column} cannot be {wanted[leaf.column]!r} and {leaf.value!r} at once. "
                f"Use `|` for either."
            )


def _check_dtypes(place: str, leaf: Comparison, columns: Mapping[str, Dtype]) -> None:
    dtype, is_ordered = columns[leaf.column], leaf.symbol not in ("==", "!=")
    if isinstance(leaf.value, OtherColumn):
        other = columns[leaf.value.name]
        if dtype != other:
            raise DefinitionError(
                f"{place} compares {leaf.column} ({dtype}) with {leaf.value.name} ({other}). Compare columns of one "
                f"dtype; a function under @derived makes the other into it."
            )
        if leaf.value.name == leaf.column:
            raise DefinitionError(f"{place} compares {leaf.column} with itself. Name the other column.")
    elif dtype in (UNIX_TIMESTAMP, DATE):
        raise DefinitionError(
            f"{place} compares {leaf.column} ({dtype}) with {leaf.value!r}. A time is compared with another column, or "
            f"made into a number by a function under @derived."
        )
    elif not _is_comparable(leaf.value, dtype):
        raise DefinitionError(f"{place} compares {leaf.column} ({dtype}) with {leaf.value!r}. Use a {dtype} value.")
    if is_ordered and dtype == BOOL:
        raise DefinitionError(f"{place} orders {leaf.column}, which is a Bool. Use == or !=.")


def _is_comparable(value: object, dtype: Dtype) -> bool:
    if dtype == BOOL:
        return isinstance(value, bool)
    if dtype == INT64:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if dtype == FLOAT64:
        return isinstance(value, float) or (type(value) is int and _is_a_float(value))
    return dtype == STRING and isinstance(value, str)


def _is_a_float(value: int) -> bool:
    """Whether a Float64 column can hold this very integer."""
    try:
        return int(float(value)) == value
    except OverflowError:
        return False


def _check_possible(place: str, symbol: str, value: str | int | float | bool, column: Column) -> None:
    if column.allowed and symbol == "!=" and value not in column.allowed:
        raise DefinitionError(f"{place} always holds: {_allowed_text(column)}. Correct the value or the contract.")
    if not _is_possible(symbol, value, column):
        raise DefinitionError(f"{place} can never hold: {_allowed_text(column)}. Correct the value or the contract.")


def _is_possible(symbol: str, value: str | int | float | bool, column: Column) -> bool:
    if column.allowed and symbol == "==":
        return value in column.allowed
    if isinstance(value, str):
        return True
    low = float("-inf") if column.minimum is None else column.minimum
    high = float("inf") if column.maximum is None else column.maximum
    possible = {
        "==": low <= value <= high,
        "!=": not low == high == value,
        "<": low < value,
        "<=": low <= value,
        ">": high > value,
        ">=": high >= value,
    }
    return possible[symbol]


def _allowed_text(column: Column) -> str:
    if column.allowed:
        return f"its contract allows {column.name} to be {', '.join(map(str, column.allowed))}"
    return f"its contract bounds {column.name} to {column.minimum} … {column.maximum}"


def _all_of(condition: Condition) -> list[Comparison]:
    if isinstance(condition, Comparison):
        return [condition]
    return [*_all_of(condition.left), *_all_of(condition.right)] if isinstance(condition, Both) else []


def _hash_of(facts: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


def _computation_of(feature: Feature) -> tuple[object, ...]:
    declared = feature.declared
    aggregation = declared.aggregation
    return feature.name, str(feature.dtype), aggregation.computation(), str(declared.window), aggregation.unseen


def _facts_of(contract: Contract) -> dict[str, object]:
    return {
        "source": contract.name,
        "columns": {column.name: column.dtype for column in contract.columns},
        "key": contract.key,
        "event_time": contract.event_time,
        "timestamp_zone": contract.timestamp_zone,
        "business_day_zone": contract.business_day_zone,
        "valid_from": contract.valid_from,
        "delivery": contract.placing,
    }
