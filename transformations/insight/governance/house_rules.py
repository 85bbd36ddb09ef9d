"""What the tests would hold against the author's features, said by the commands that come before them.

The rules of documentation and naming, and a test of its meaning for every measure and function of a domain file.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import transformations
from transformations.contracts import contract_names, read_contract
from transformations.engine.testing.literal_tables import untested_functions, untested_measures
from transformations.engine.vocabulary.definitions import Definition, PlainFeatures, WindowedFeatures
from transformations.engine.vocabulary.functions import RowFunction
from transformations.insight.governance.contract_versions import changed_contracts, version_problems
from transformations.insight.governance.declared_rules import declared_problems
from transformations.insight.governance.distributions import distribution_problems
from transformations.insight.governance.owners import read_ownership
from transformations.insight.governance.rules import Offered, ownership_problems
from transformations.insight.lineage.declared import read_all_declared
from transformations.insight.lineage.reading import lineage_of
from transformations.insight.repository import read_repository, repository_folder
from validation.documentation import problems
from validation.feature_rules import FeatureFacts, Problem, feature_problems

if TYPE_CHECKING:
    from feast.repo_contents import RepoContents

    from transformations.engine.base.settings import Settings
    from transformations.engine.vocabulary.resolution import Resolved

_TESTS = Path("tests") / "transformations"


def problems_of_repository(contents: RepoContents, settings: Settings) -> list[Problem]:
    """Every rule that a repository breaks: meaning, names, tests, distributions, owners, personal data, models."""
    contracts = [read_contract(name, settings.contracts) for name in contract_names(settings.contracts)]
    declared = read_all_declared(settings)
    repository = read_repository(settings)
    offered = Offered(
        contents=contents,
        contracts=contracts,
        declared=declared,
        lineage=lineage_of(contents, repository, contracts, declared),
        ownership=read_ownership(repository_folder(settings)),
    )
    missing = untested_of_domains(settings.project_root)
    untested = [_untested_problem(name, file) for file, names in missing.items() for name in names]
    versions = version_problems(changed_contracts(settings), offered.lineage)
    expected = distribution_problems(repository, settings)
    owned = [*ownership_problems(offered), *declared_problems(offered)]
    return [*problems(contents), *untested, *expected, *owned, *versions]


def domain_files() -> list[Path]:
    """The files of the domains, in alphabetical order."""
    return [Path(file) for _, module in _domain_modules() if (file := module.__file__)]


def rules_broken_by_view(resolved: Resolved, project: Path) -> list[str]:
    """The same for one definition, without Feast."""
    definition = resolved.definition
    found: list[Problem] = []
    for feature in resolved.features:
        declared = feature.declared
        facts = {"description": declared.description, "unit": declared.aggregation.unit}
        facts |= {} if declared.expect is None else {"expect": str(declared.expect)}
        is_windowed = isinstance(definition, WindowedFeatures)
        found += feature_problems(
            FeatureFacts(
                view=resolved.name,
                name=feature.name,
                dtype=str(feature.dtype),
                facts=facts,
                is_windowed=is_windowed,
            )
        )
    for domain, module in _domain_modules():
        if any(each is definition for each in definitions_of(module)):
            file = _TESTS / f"test_{domain}.py"
            untested = untested_measures([definition], _existing_tests(project / file)) if _has_tests(project) else []
            return [str(problem) for problem in (*found, *(_untested_problem(name, file.name) for name in untested))]
    return [str(problem) for problem in found]


def untested_of_domains(project: Path) -> dict[str, list[str]]:
    """By test file, the measures and functions of its domain that it leaves out; nothing in a project without tests."""
    if not _has_tests(project):
        return {}
    missing = {}
    for domain, module in _domain_modules():
        tests = _existing_tests(project / _TESTS / f"test_{domain}.py")
        untested = untested_measures(definitions_of(module), tests) + untested_functions(on_demand_of(module), tests)
        if untested:
            missing[f"test_{domain}.py"] = untested
    return missing


def tests_of_domains(project: Path) -> dict[str, str]:
    """By measure (`view.measure`) and by function, the test file that asks for it; what has no test is left out."""
    missing = untested_of_domains(project)
    found: dict[str, str] = {}
    for domain, module in _domain_modules() if _has_tests(project) else ():
        file = f"test_{domain}.py"
        subjects = [function.name for function in on_demand_of(module)]
        subjects += [
            f"{each.name}.{given.aggregation.name}" for each in definitions_of(module) for given in each.declared
        ]
        found |= {subject: str(_TESTS / file) for subject in subjects if subject not in missing.get(file, ())}
    return found


def definitions_of(module: ModuleType) -> list[Definition]:
    """What a domain file declares."""
    return [value for value in vars(module).values() if isinstance(value, WindowedFeatures | PlainFeatures)]


def on_demand_of(module: ModuleType) -> list[RowFunction]:
    """The row functions that the module itself declares, but for derived columns: these show in their measures."""
    derived = {function.name for definition in definitions_of(module) for function in definition.derived}
    functions = [value for value in vars(module).values() if isinstance(value, RowFunction)]
    return [each for each in functions if each.function.__module__ == module.__name__ and each.name not in derived]


def _domain_modules() -> Iterator[tuple[str, ModuleType]]:
    for info in pkgutil.iter_modules(transformations.__path__):
        if not info.ispkg:
            yield info.name, importlib.import_module(f"transformations.{info.name}")


def _has_tests(project: Path) -> bool:
    return (project / _TESTS).is_dir()


def _existing_tests(path: Path) -> list[Path]:
    return [path] if path.is_file() else []


def _untested_problem(name: str, file: str) -> Problem:
    """name: `view.measure`, or a function."""
    place = f"measure {name}" if "." in name else f"function {name}"
    return Problem(place, "has no test", f"Ask for it by as_of(…), or call the function, in {_TESTS / file}")
