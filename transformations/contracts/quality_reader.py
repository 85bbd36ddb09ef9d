"""The `quality` of a contract in the standard's words (ODCS v3.1), read into rules; what would not run is refused."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

import yaml

from transformations.contracts.document import Node
from transformations.contracts.model import Column
from transformations.contracts.quality import (
    OPERATORS,
    Bound,
    Measure,
    QualityRule,
    Severity,
)
from transformations.contracts.texts import nearest
from transformations.contracts.vocabulary import QUALITY_PROPERTIES

METRICS: Mapping[str, tuple[str, ...]] = {
    "rowCount": (),
    "nullValues": (),
    "missingValues": ("missingValues",),
    "invalidValues": ("validValues", "pattern"),
    "duplicateValues": ("properties",),
}
"""The library's metrics by name, each with the arguments that it may have."""

_OF_COLUMNS = ("nullValues", "missingValues", "invalidValues", "duplicateValues")
_OF_OBJECTS = ("rowCount", "duplicateValues")
_ENGINES = ("greatExpectations", "great-expectations", "great_expectations")
_DISTRIBUTION = "expect_column_kl_divergence_to_be_less_than"
_COMPARED = ("Int64", "Float64", "String", "Bool")
_NAMED_COLUMNS = ("column", "column_A", "column_B", "column_list", "column_set")
_PLACEHOLDER = re.compile(r"\$?\{(\w*)\}")


def quality_rules(
    source: Node, columns: Sequence[Column], event_time: str | None, promised: Sequence[QualityRule] = ()
) -> tuple[QualityRule, ...]:
    """The rules of a source and of its columns that are not checked row by row anyway (see `is_plain_value_list`).

    promised: further rules, of the contract's promises.
    """
    known = {column.name: column for column in columns}
    rules = [_read_rule(node, None, known, event_time) for node in _stated(source)]
    for column, node in zip(columns, source.children("properties"), strict=True):
        rules += [
            _read_rule(rule, column, known, event_time) for rule in _stated(node) if not is_plain_value_list(rule)
        ]
    return tuple(_with_own_names(source, [*rules, *promised]))


def is_plain_value_list(rule: Node) -> bool:
    """Whether a rule only lists all values that a column may have: this is checked with each row, as dtypes are."""
    arguments = rule.values.get("arguments")
    return (
        rule.values.get("metric") == "invalidValues"
        and rule.values.get("mustBe") == 0
        and rule.values.get("severity", "error") == "error"
        and isinstance(arguments, dict)
        and list(arguments) == ["validValues"]
        and not rule.custom(QUALITY_PROPERTIES).values
    )


def _stated(node: Node) -> Iterator[Node]:
    return (rule for rule in node.children("quality") if rule.values.get("type") != "text")


def _read_rule(node: Node, column: Column | None, known: Mapping[str, Column], event_time: str | None) -> QualityRule:
    custom = node.custom(QUALITY_PROPERTIES)
    is_daily = _is_daily(custom, event_time)
    match node.values.get("type", "library"):
        case "sql":
            rule = _sql_rule(node, column)
        case "custom":
            rule = _custom_rule(node, column, known, custom, event_time)
        case _:
            return _library_rule(node, column, known, is_daily)
    if is_daily:
        raise custom.error("per", "holds for metrics alone. Leave it out, and let the query or expectation say it.")
    return rule


def _library_rule(node: Node, column: Column | None, known: Mapping[str, Column], is_daily: bool) -> QualityRule:
    metrics = _OF_OBJECTS if column is None else _OF_COLUMNS
    metric = node.text("metric", f"one of {', '.join(metrics)}")
    if metric not in metrics:
        where = "the rows as a whole" if column is None else "a column"
        raise node.error("metric", f"is {metric!r}, no metric of {where}; {nearest(metric, metrics)}.")
    arguments = _parse_arguments(node, metric, column)
    names: tuple[str, ...] = (column.name,) if column else ()
    if metric == "duplicateValues" and column is None:
        names = _names_of_columns(arguments, "properties", known)
    unit = node.values.get("unit", "rows")
    if unit not in (("rows",) if metric == "rowCount" else ("rows", "percent")):
        raise node.error("unit", f"is {unit!r}. Write rows{'' if metric == 'rowCount' else ' or percent'}.")
    values, pattern = _read_criteria(arguments, metric, column)
    bound = _read_bound(node, floor=0, ceiling=100 if unit == "percent" else None)
    return QualityRule(
        name=_rule_name(node, f"{_snake_case(metric)}{'_a_day' if is_daily else ''}", names),
        measure=cast(Measure, metric),
        columns=names,
        bound=bound,
        unit="percent" if unit == "percent" else "rows",
        severity=severity_of(node),
        is_daily=is_daily,
        values=values,
        pattern=pattern,
        description=_rule_description(node),
        place=node.place,
    )


def _sql_rule(node: Node, column: Column | None) -> QualityRule:
    node.text("query", "one SELECT that gives one number or boolean")
    query = str(node.values["query"]).strip()  # its line breaks end comments
    known = ("object",) if column is None else ("object", "property")
    if unknown := [name for name in _PLACEHOLDER.findall(query) if name not in known]:
        raise node.error("query", f"names {{{unknown[0]}}}; {nearest(unknown[0], known)}, each in braces.")
    names = (column.name,) if column else ()
    return QualityRule(
        name=_rule_name(node, "sql", names),
        measure="sql",
        columns=names,
        bound=_read_bound(node),
        severity=severity_of(node),
        query=query,
        description=_rule_description(node),
        place=node.place,
    )


def _custom_rule(
    node: Node, column: Column | None, known: Mapping[str, Column], custom: Node, event_time: str | None
) -> QualityRule:
    engine = node.text("engine", "engine: greatExpectations")
    if engine not in _ENGINES:
        raise node.error(
            "engine", f"{engine!r} would not be run. Use greatExpectations, or say it in words with type: text."
        )
    expectation, arguments = _read_implementation(node)
    if column is not None and "column" not in arguments and re.match(r"expect_column_(?!pair_)", expectation):
        arguments = {"column": column.name, **arguments}
    if column is not None and arguments.get("column", column.name) != column.name:
        raise node.error("implementation", f"is about {arguments['column']!r}, yet stands at {column.name!r}. Move it.")
    names = tuple(_columns_in(node, arguments, known))
    return QualityRule(
        name=_rule_name(node, expectation, names),
        measure=_measure_of(custom, expectation, [known[name] for name in names], event_time),
        columns=names,
        bound=_read_threshold(node, arguments) if custom.values.get("comparedWith") else None,
        severity=severity_of(node),
        is_daily=custom.values.get("comparedWith") is not None,
        expectation=expectation,
        arguments=arguments,
        description=_rule_description(node),
        place=node.place,
    )


def _measure_of(custom: Node, expectation: str, columns: Sequence[Column], event_time: str | None) -> Measure:
    compared = custom.values.get("comparedWith")
    if compared is None:
        return "expectation"
    if compared != "acceptedDrops":
        raise custom.error("comparedWith", f"is {compared!r}. Write acceptedDrops.")
    if expectation != _DISTRIBUTION:
        raise custom.error("comparedWith", f"gives a distribution to {_DISTRIBUTION} alone. Leave it out.")
    if event_time is None:
        raise custom.error("comparedWith", "compares business days, and without eventTime there are none. Remove it.")
    if not columns or columns[0].dtype not in _COMPARED:
        raise custom.error("comparedWith", "needs a column of numbers, texts or booleans. Remove it.")
    return "distribution"


def _read_threshold(node: Node, arguments: Mapping[str, object]) -> Bound:
    known = ("column", "threshold", "bucketize_data", "tail_weight_holdout")
    if unknown := [name for name in arguments if name not in known]:
        raise node.error("implementation", f"sets {unknown[0]!r} beside comparedWith; {nearest(unknown[0], known)}.")
    threshold = arguments.get("threshold")
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or threshold < 0:
        raise node.error("implementation", f"has the threshold {threshold!r}. Write a number of 0 and more.")
    return Bound("mustBeLessOrEqualTo", (float(threshold),))


def _read_implementation(node: Node) -> tuple[str, dict[str, object]]:
    """The expectation's type and arguments, from a mapping or from a text of YAML, as the standard allows both."""
    meaning = "a mapping such as { type: expect_column_mean_to_be_between, kwargs: { min_value: 0 } }"
    given = node.values.get("implementation")
    if isinstance(given, str):
        try:
            given = yaml.safe_load(given)
        except yaml.YAMLError as error:
            raise node.error("implementation", f"is no YAML ({' '.join(str(error).split())}). Correct it.") from None
    if not isinstance(given, dict):
        raise node.error("implementation", f"is no mapping. Write {meaning}.")
    inner = Node(node.file, node.at("implementation"), given)
    if unknown := [str(key) for key in given if key not in ("type", "kwargs", "meta")]:
        raise inner.error(unknown[0], f"is unknown; {nearest(unknown[0], ('type', 'kwargs', 'meta'))}.")
    kwargs = given.get("kwargs") or {}
    if not isinstance(kwargs, dict) or not all(isinstance(key, str) for key in kwargs):
        raise inner.error("kwargs", "is no mapping of arguments. Write { min_value: 0 } or so.")
    return inner.text("type", "the expectation's name, such as expect_column_mean_to_be_between"), dict(kwargs)


def _columns_in(node: Node, arguments: Mapping[str, object], known: Mapping[str, Column]) -> Iterator[str]:
    for argument in _NAMED_COLUMNS:
        value = arguments.get(argument)
        for name in value if isinstance(value, list) else [value]:
            if name is None:
                continue
            if name not in known and argument != "column_set":
                raise node.error("implementation", f"names {name!r}, no column; {nearest(str(name), known)}.")
            if name in known:
                yield str(name)


def _parse_arguments(node: Node, metric: str, column: Column | None) -> Node:
    known = METRICS[metric] if column is None or metric != "duplicateValues" else ()
    given = node.values.get("arguments")
    if given is None and not known:
        return Node(node.file, node.at("arguments"), {})
    arguments = node.child("arguments", f"arguments: {{ {' or '.join(f'{name}: …' for name in known)} }}")
    for name in arguments.values:
        if name not in known:
            remedy = f"{nearest(str(name), known)}." if known else "Leave it out."
            raise arguments.error(str(name), f"is no argument of {metric}. {remedy}")
    if not arguments.values and known:
        raise node.error("arguments", f"is empty. Write {' or '.join(known)}.")
    return arguments


def _read_criteria(arguments: Node, metric: str, column: Column | None) -> tuple[tuple[object, ...], str | None]:
    """The listed values and the pattern of a metric."""
    if column is None or metric not in ("invalidValues", "missingValues"):
        return (), None
    pattern = arguments.optional("pattern", str, "a regular expression in quotes")
    key = "validValues" if metric == "invalidValues" else "missingValues"
    if pattern is not None:
        if column.dtype != "String":
            raise arguments.error("pattern", f"of {column.name!r}: only texts match one. Leave it out.")
        if not pattern:
            raise arguments.error("pattern", f"of {column.name!r} is empty, and every text matches it. Leave it out.")
        if key not in arguments.values:
            return (), pattern
    values = list_of(arguments, key, "a value")
    for value in values:
        if not (value is None and metric == "missingValues") and not is_of_dtype(value, column.dtype):
            raise arguments.error(
                key, f"of {column.name!r} holds {value!r}, which is no {column.dtype}. Mind the quotes."
            )
    if not values:
        raise arguments.error(key, f"of {column.name!r} is empty. List values, or leave the rule out.")
    return tuple(values), pattern


def is_of_dtype(value: object, dtype: str) -> bool:
    """Whether a value of the YAML file can be one of a column's."""
    kinds: dict[str, tuple[type, ...]] = {"Int64": (int,), "Float64": (int, float), "String": (str,), "Bool": (bool,)}
    return isinstance(value, kinds.get(dtype, ())) and (isinstance(value, bool) == (dtype == "Bool"))


def _read_bound(node: Node, floor: float | None = None, ceiling: float | None = None) -> Bound:
    found = [operator for operator in OPERATORS if node.values.get(operator) is not None]
    if len(found) != 1:
        said = f"says {' and '.join(found)}" if found else "says nothing of the result"
        raise node.error("mustBe", f"{said}. Write exactly one of {', '.join(OPERATORS)}.")
    operator = found[0]
    given = node.values[operator]
    is_range = operator.endswith("Between")
    numbers = given if is_range and isinstance(given, list) else [given]
    if len(numbers) != (2 if is_range else 1):
        raise node.error(operator, f"is {given!r}. Write two numbers, the smaller first.")
    limits = tuple(_read_limit(node, operator, number) for number in numbers)
    if is_range and limits[0] >= limits[1]:
        raise node.error(operator, f"is {given!r}. Write the smaller number first, and two different ones.")
    if (floor is not None and limits[0] < floor) or (ceiling is not None and limits[-1] > ceiling):
        raise node.error(operator, f"is {given!r}. Write {f'0 to {ceiling}' if ceiling else '0 or more'}.")
    return Bound(operator, limits)


def _read_limit(node: Node, operator: str, number: object) -> float:
    if isinstance(number, bool) and node.values.get("type") == "sql":
        return float(number)
    if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
        raise node.error(operator, f"is {number!r}. Write a number.")
    return number


def _is_daily(custom: Node, event_time: str | None) -> bool:
    per = custom.values.get("per")
    if per not in (None, "businessDay"):
        raise custom.error("per", f"is {per!r}. Write businessDay, or leave it out for the drop as a whole.")
    if per and event_time is None:
        raise custom.error("per", "is businessDay, yet without eventTime rows are of no day. Leave it out.")
    return per is not None


def severity_of(node: Node) -> Severity:
    """How grave it is that a rule is broken: error unless said otherwise."""
    severity = node.values.get("severity", "error")
    if severity == "error":
        return "error"
    if severity == "warning":
        return "warning"
    raise node.error("severity", f"is {severity!r}. Write error (refuses the drop) or warning (is told).")


def _rule_name(node: Node, kind: str, columns: Sequence[str]) -> str:
    for key in ("name", "id"):
        if node.values.get(key) is not None:
            return node.text(key, "the rule's name")
    return "_".join((*columns, kind)) if columns else kind


def _with_own_names(source: Node, rules: Sequence[QualityRule]) -> Iterator[QualityRule]:
    seen: dict[str, QualityRule] = {}
    for rule in rules:
        if (other := seen.get(rule.identifier)) is not None:
            raise source.error(
                "quality",
                f"has two rules called {rule.name!r}, at {other.place} and {rule.place}. Name them (name: …).",
            )
        seen[rule.identifier] = rule
        yield rule


def _names_of_columns(arguments: Node, key: str, known: Mapping[str, Column]) -> tuple[str, ...]:
    names = list_of(arguments, key, "a column's name")
    if unknown := [name for name in names if name not in known]:
        raise arguments.error(key, f"names {unknown[0]!r}, no column; {nearest(str(unknown[0]), known)}.")
    if not names:
        raise arguments.error(key, "is empty. List the columns whose values together must be different.")
    return tuple(map(str, names))


def list_of(node: Node, key: str, example: str) -> list[object]:
    """The list under a key; none where it is absent. example: what messages show as one of its entries."""
    value = node.values.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise node.error(key, f"is {value!r}, no list. Write [{example}].")
    return value


def _rule_description(node: Node) -> str:
    return node.text("description", "what it is for") if node.values.get("description") is not None else ""


def _snake_case(metric: str) -> str:
    return re.sub(r"(?=[A-Z])", "_", metric).lower()
