"""The first files of a new domain: features, views and their test, small and right, from a source's contract."""

from __future__ import annotations

import json
import keyword
import pkgutil
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined

import transformations
from transformations.contracts import Column, Contract, contract_names, read_contract
from transformations.contracts.document import FILL_IN
from transformations.engine.base.errors import UsageError
from transformations.engine.raw.files import RAW_TIMESTAMP
from transformations.insight.skeleton_choices import Measure, join_key, known_entities, measures
from transformations.stores.base.domain_files import definitions
from transformations.stores.base.views import highest_pii

_RESERVED = ("contracts", "insight", "models", "monitoring", "orchestration", "predictions")  # of packages to come
_UNITS = {"Int64": "units", "Float64": "units", "String": "category", "Bool": "yes or no", "UnixTimestamp": "UTC time"}
_NUMERIC = ("Int64", "Float64")
_DURATIONS = ("seconds", "minutes", "hours", "days", "weeks", "months", "years")
_ATTRIBUTES = 2
_LABEL_DAYS = 7  # that the dataset's label looks ahead
_FEWEST_DAYS = 10
_SHARES = {"train": 0.0, "validation": 0.7, "test": 0.85}
_LONGEST_DESCRIPTION = 70
_FILES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "skeleton_files"),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


@dataclass(frozen=True)
class NewFile:
    """A file to write: its path relative to the project, and its text."""

    path: Path
    text: str


def skeleton(
    domain: str,
    source: str | None,
    key: str | None,
    project: Path,
    contracts: Path,
    *,
    service: str | None = None,
    covered: tuple[date, date] | None = None,
) -> list[NewFile]:
    """The files of a domain over a source's contract; without a source, with a first contract of its own.

    key: the entity's column, by default the only one that can be meant. service: the name of the feature service, by
    default the domain's first; where it is named and the source has events, a dataset of it comes with it. covered: the
    first and the last business day of which the source has all events, from which the dataset's splits follow; without
    them, the author fills these in. UsageError for a name that cannot be a module, an existing file, several columns
    that could be the key, or a source of which nothing can be a feature.
    """
    _check_name(domain)
    if service is not None:
        _check_service(service)
    files = []
    if source is None:
        if domain in contract_names(contracts):
            raise UsageError(
                f"there is a source {domain!r}. To take its columns, say --source {domain}; for other "
                f"data, choose another domain's name."
            )
        entity = domain.removesuffix("s") or domain
        contract_file = NewFile(
            _relative_path(project, contracts / f"{entity}_events.yaml"), _contract_text(entity, domain)
        )
        files.append(contract_file)
        contract = _read_contract_text(contract_file.text, contract_file.path.stem)
    else:
        contract = read_contract(source, contracts)
    files += _Domain(domain, contract, key, project, service, covered).files()
    for file in files:
        if (project / file.path).exists():
            raise UsageError(f"{file.path} exists, and nothing is overwritten. Choose another name, or remove it.")
    return files


class _Domain:
    """One domain's names and columns, chosen from its source's contract."""

    def __init__(
        self,
        domain: str,
        contract: Contract,
        key: str | None,
        project: Path,
        service: str | None,
        covered: tuple[date, date] | None,
    ) -> None:
        self.domain, self.contract, self.service, self.covered = domain, contract, service, covered
        known = known_entities(project / "feature_repo")
        self.join_key = join_key(contract, key, known)
        self.known_entity = next((each for each in known if each.join_key == self.join_key.name), None)
        own_name = re.sub(r"_id$|(?<=[a-z])I[dD]$", "", self.join_key.name).lower()
        self.entity = self.known_entity.name if self.known_entity else own_name
        if twin := next((each for each in known if each.name == self.entity and each is not self.known_entity), None):
            raise UsageError(
                f"feature_repo/{twin.module}.py: the entity {twin.name!r} is keyed by {twin.join_key}, not by "
                f"{self.join_key.name}. Two entities of one name cannot be: rename one, or say --key {twin.join_key}."
            )
        self.view = self._view_name(contract.name.removeprefix(f"{self.entity}_"))
        self.has_events = contract.event_time is not None
        self.measures = measures(contract, self.join_key.name) if self.has_events else []
        self.attributes = self._offered_attributes()
        if not self.has_events and not self.attributes:
            raise UsageError(f"{contract.file_name}: it has no event time and no column that can be a feature.")

    def files(self) -> list[NewFile]:
        """Features, views and test."""
        return [
            NewFile(Path("transformations") / f"{self.domain}.py", self._features_file()),
            NewFile(Path("feature_repo") / f"{self.domain}_views.py", self._views_file()),
            *self._service_files(),
            NewFile(Path("tests") / "transformations" / f"test_{self.domain}.py", self._test_file()),
        ]

    def _service_files(self) -> list[NewFile]:
        """The service, and a dataset of it whose label is the author's to write."""
        repo = Path("feature_repo")
        imports = "\n".join(
            sorted([f"from {self.domain}_views import {self.view}", "from feast import FeatureService"])
        )
        name = self.service or f"{self.domain}_v1"
        files = [NewFile(repo / f"{name}.py", self._render_file("service.py", service=name, imports=imports))]
        if self.service is not None and self.has_events:
            zone = self.contract.business_day_zone
            splits = _split_days(self.covered)
            text = self._render_file(
                "dataset.yaml", service=self.service, zone=zone, moment=self._moment_sql(), **splits
            )
            files.append(NewFile(repo / "datasets" / f"{self.service}.yaml", text))
        return files

    def _moment_sql(self) -> str:
        """When an event happened, as the SQL of a spine says it; one known by its day alone, at that day's end."""
        column = str(self.contract.event_time)
        if not self.contract.has_date_only_event_time:
            return column
        return f"timezone('{self.contract.business_day_zone}', CAST({column} + 1 AS TIMESTAMP))"

    def _view_name(self, subject: str) -> str:
        """`<entity>_<subject>` after the source; after the domain where another domain has that already."""
        name = f"{self.entity}_{subject}"
        return f"{self.entity}_{self.domain}" if name in definitions() else name

    def _offered_attributes(self) -> list[Column]:
        """The columns of records that are offered first: those with a unit of measure before the others."""
        free = [column for column in self.contract.columns if self._is_free(column) and column.dtype != "Date"]
        return [] if self.has_events else sorted(free, key=lambda column: not column.unit)[:_ATTRIBUTES]

    def _is_free(self, column: Column) -> bool:
        taken = {self.join_key.name, self.contract.event_time, *self.contract.key}
        return column.name not in taken and not column.name.endswith("_id")

    def _features_file(self) -> str:
        words = ["WindowedFeatures", "Count", "at_least", "days", "hours"]
        words = words if self.has_events else ["PlainFeatures", "Attribute", "hours"]
        features: list[tuple[str, Column]] = [(each.aggregation, each.column) for each in self.measures]
        features += [("Attribute", column) for column in self.attributes]
        described = [{"kind": kind, **_declared_texts(column)} for kind, column in features]
        words += [word for each in described for word in (each["kind"], each["expect"].removesuffix("(0)")) if word]
        imports = ", ".join(sorted(set(words), key=_import_order))
        return self._render_file("features.py", has_events=self.has_events, imports=imports, features=described)

    def _views_file(self) -> str:
        own_variable = self.entity if self.entity != self.domain else f"{self.entity}_entity"
        return self._render_file(
            "views.py",
            title=self.domain.replace("_", " "),
            known_entity=self.known_entity,
            entity_variable=self.known_entity.variable if self.known_entity else own_variable,
            value_type="INT64" if self.join_key.dtype == "Int64" else "STRING",
            key_description=_quoted_description(self.join_key),
        )

    def _test_file(self) -> str:
        asked = {"key": self._python_literal(self.join_key), "imports": self._test_imports()}
        if self.has_events:
            measures = [_expected_values(each) for each in self.measures]
            return self._render_file("test_of_events.py", table=self._events_table(), measures=measures, **asked)
        attributes = [
            {"name": _feature_name(column), "value": self._python_literal(column)} for column in self.attributes
        ]
        return self._render_file("test_of_records.py", table=self._records_table(), attributes=attributes, **asked)

    def _test_imports(self) -> str:
        ours = [
            f"from transformations.{self.domain} import {self.view}",
            f"from transformations.engine.testing import as_of{', windows_of' if self.has_events else ''}",
        ]
        return "\n".join(sorted(ours))

    def _events_table(self) -> str:
        """Two events of one entity, at noon of 2024-05-01 and 2024-05-02 in the contract's zone."""
        names = [self.join_key.name, *self.contract.key, self.contract.event_time]
        names += [each.column.name for each in self.measures]
        columns = [self.contract.column(name) for name in dict.fromkeys(names) if name is not None]
        rows = [[self._event_cell(column, number) for column in columns] for number in (1, 2)]
        return _aligned_table([[column.name for column in columns], *rows])

    def _event_cell(self, column: Column, number: int) -> str:
        if column.name == self.contract.event_time:
            return self._noon_text(number)
        if column.name == self.join_key.name:
            return _table_cell(self._python_literal(column))
        if column in [each.column for each in self.measures]:
            return str(10 if number == 1 else 5)
        samples = {"Int64": str(number), "Float64": f"{number}.0", "Bool": "true" if number == 1 else "false"}
        samples |= {"Date": f"2024-05-0{number}", "UnixTimestamp": f"2024-05-0{number} 12:00Z"}
        return samples.get(column.dtype, "ab"[number - 1])

    def _noon_text(self, number: int) -> str:
        if self.contract.has_date_only_event_time:
            return f"2024-05-0{number}"
        noon = datetime(2024, 5, number, 12, tzinfo=ZoneInfo(self.contract.business_day_zone))
        return noon.astimezone(UTC).strftime("%Y-%m-%d %H:%MZ")

    def _records_table(self) -> str:
        names = [self.join_key.name, RAW_TIMESTAMP, *(column.name for column in self.attributes)]
        noon = datetime(2024, 5, 1, 12, tzinfo=ZoneInfo(self.contract.business_day_zone)).astimezone(UTC)
        cells = [_table_cell(self._python_literal(column)) for column in self.attributes]
        return _aligned_table(
            [names, [_table_cell(self._python_literal(self.join_key)), noon.strftime("%Y-%m-%d %H:%MZ"), *cells]]
        )

    def _python_literal(self, column: Column) -> str:
        """A value of the column, as Python writes it."""
        if column.allowed and column.dtype == "String":
            return _quoted_text(str(column.allowed[0]))
        literals = {"Int64": "7", "Float64": "7.0", "Bool": "True", "String": '"a"'}
        return literals.get(column.dtype, "datetime(2024, 5, 1, tzinfo=UTC)")

    def _highest_pii(self) -> str:
        """The class of personal data of what is offered: the key, and what is measured or taken over."""
        offered = [self.join_key, *(each.column for each in self.measures), *self.attributes]
        return highest_pii(column.pii for column in offered)

    def _render_file(self, name: str, **more: object) -> str:
        """The file of that name, with the domain's own names and what else it asks for."""
        return _FILES.get_template(f"{name}.jinja").render(
            domain=self.domain,
            entity=self.entity,
            entity_words=self.entity.replace("_", " "),
            article="an" if self.entity[0] in "aeiou" else "a",
            view=self.view,
            source=self.contract.name,
            join_key=self.join_key.name,
            owner=_on_one_line(self.contract.owner),
            pii=self._highest_pii(),
            **more,
        )


def _split_days(covered: tuple[date, date] | None) -> dict[str, str]:
    """Where the splits begin: of the days whose labels are known, 70 % are for training, 15 % each for the others."""
    first, last = covered or (date.max, date.min)
    days = (last - first).days + 1 - _LABEL_DAYS
    if days < _FEWEST_DAYS:
        return {"split_reason": "days of your data, once enough is ingested", **dict.fromkeys(_SHARES, FILL_IN)}
    begins = {name: str(first + timedelta(days=int(days * share))) for name, share in _SHARES.items()}
    return {"split_reason": f"the source is complete from {first} through {last}", **begins}


def _check_name(domain: str) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", domain) or keyword.iskeyword(domain):
        raise UsageError(f"{domain!r} cannot name a module. Use lower case letters, digits and _, such as riders.")
    packages = {info.name for info in pkgutil.iter_modules(transformations.__path__) if info.ispkg}
    if domain in packages | set(_RESERVED):
        raise UsageError(f"transformations/{domain}/ is the platform's own. Choose another name.")


def _check_service(service: str) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9_]*_v[0-9]+", service):
        raise UsageError(f"the service {service!r} is not named <model>_v<N>. Name it so, such as churn_v1.")


def _read_contract_text(text: str, name: str) -> Contract:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / f"{name}.yaml").write_text(text)
        return read_contract(name, Path(folder))


def _contract_text(entity: str, domain: str) -> str:
    text = _FILES.get_template("contract.yaml.jinja")
    return text.render(entity=entity, entity_words=entity.replace("_", " "), domain=domain)


def _relative_path(project: Path, path: Path) -> Path:
    return path.relative_to(project) if path.is_relative_to(project) else path


def _aligned_table(rows: Sequence[Sequence[str]]) -> str:
    """Columns two spaces apart, indented as a literal in a test."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(f"    {line}" for line in lines)


def _table_cell(literal: str) -> str:
    """A Python literal as a cell of a table of events."""
    if literal.startswith("datetime("):
        return "2024-05-01 00:00Z"
    return literal.strip('"')


def _import_order(word: str) -> tuple[int, str]:
    """Constants, classes, functions: the order that the linter asks for."""
    return (0 if word.isupper() else 1 if word[0].isupper() else 2), word


def _declared_texts(column: Column) -> dict[str, str]:
    """What a declaration says of a column, each as Python writes it; `expect` is empty where no range is asked for."""
    expect = "at_least(0)" if column.minimum is not None and column.minimum >= 0 else "ANYTHING"
    return {
        "column": column.name,
        "name": _feature_name(column),
        "description": _quoted_description(column),
        "unit": _quoted_text(_unit_of(column)),
        "expect": expect if column.dtype in _NUMERIC else "",
    }


def _expected_values(measure: Measure) -> dict[str, str]:
    """The values of a measure after events of 10 and 5: of the first, of both, of the second alone, of none."""
    is_float = measure.column.dtype == "Float64" or measure.aggregation == "Mean"
    numbers = (10, 15, 5, 0) if measure.aggregation == "Sum" else (10, 7.5, 5, None)
    values = [str(float(n) if is_float and n is not None else n) for n in numbers]
    return {
        "name": _feature_name(measure.column),
        "how": "summed" if measure.aggregation == "Sum" else "averaged",
        **dict(zip(("first", "both", "second", "quiet"), values, strict=True)),
    }


def _feature_name(column: Column) -> str:
    """The column's name by the rules of feature names: lower case, is_ before a Bool, a duration with its unit."""
    name, unit = column.name.lower(), _unit_of(column)
    if column.dtype == "Bool":
        return name if name.startswith(("is_", "has_")) else f"is_{name}"
    is_unnamed = (unit in _DURATIONS and column.dtype in _NUMERIC) or unit == "rate"
    return f"{name}_{unit}" if is_unnamed and unit not in name.split("_") else name


def _unit_of(column: Column) -> str:
    return _on_one_line(column.unit or _UNITS[column.dtype])


def _quoted_description(column: Column) -> str:
    text = _on_one_line(column.description).rstrip(".")
    if len(text) > _LONGEST_DESCRIPTION:
        text = text[:_LONGEST_DESCRIPTION].rpartition(" ")[0].rstrip(",;:") + " …"
    return _quoted_text(text)


def _quoted_text(text: str) -> str:
    """The text in the quotes that the formatter would choose: those that need fewer escapes."""
    if text.count('"') <= text.count("'"):
        return json.dumps(text, ensure_ascii=False)
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _on_one_line(text: str) -> str:
    return " ".join(text.split())
