"""Expectations that need the rows (`custom` rules): run in Great Expectations in a process of their own, for a time.

A regular expression of an author may run for ever, and nothing in Python stops it; the end of its process does.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from transformations.contracts import Contract
from transformations.contracts.quality import QualityRule
from transformations.contracts.texts import nearest
from transformations.engine.base.errors import UsageError
from transformations.engine.base.files.scratch import scratch_folder
from transformations.engine.base.settings import Settings
from transformations.engine.launch.elsewhere import are_elsewhere
from validation.quality.compiled_rules import CompiledRule, suite_of
from validation.quality.drop_rows import DropRows
from validation.quality.great_expectations_run import names_of_errors
from validation.quality.quality_sql import write_statement
from validation.quality.row_runner import ERROR, JOB, RESULT, ROWS

_OF_THE_INSTALLATION = ("ModuleNotFoundError", "ImportError", "ServiceUnavailableError")
_COLUMN_ARGUMENTS = {"column", "column_A", "column_B", "column_list"}


def judge_rows(rows: DropRows, rules: Sequence[CompiledRule], count: int, settings: Settings) -> list[dict[str, Any]]:
    """The result of each rule's expectation on the drop's rows: by pandas, above the setting's number by Spark.

    UsageError for an expectation that cannot be run, or that takes longer than the settings allow.
    """
    if not rules:
        return []
    with scratch_folder("features-quality-") as folder:
        dtypes = {column.name: column.dtype for column in rows.contract.columns}
        suite = suite_of(rows.contract, tuple(rules)) | {"rows": count, "dtypes": dtypes}
        job = {"suite": suite, "spark": count > settings.quality_pandas_rows}
        (folder / JOB).write_text(json.dumps(job, default=str))
        columns = _columns(rows.contract, [each.rule for each in rules])
        rows.connection.execute(write_statement(rows.values(columns), folder / ROWS))
        said = run_apart(rows.contract, folder, settings)
        if (folder / ERROR).is_file():
            raise UsageError(f"{rows.contract.file_name}: {(folder / ERROR).read_text()}")
        if not (folder / RESULT).is_file():
            raise UsageError(
                f"{rows.contract.file_name}: Great Expectations ended without a result on the rows of {rows.name}: "
                f"{_end_of(said)}. Correct the custom rules, or leave them out."
            )
        results: list[dict[str, Any]] = json.loads((folder / RESULT).read_text())
        return results


def _end_of(said: str) -> str:
    """The error that a process ended with, in words where they hold no value of the data."""
    if not said.strip():
        return "it said nothing"
    name = names_of_errors(said)[-1]
    return said.strip().rpartition("\n")[2][:300] if name in _OF_THE_INSTALLATION else name


def refuse_unknown_expectations(contract: Contract, rules: Sequence[CompiledRule]) -> None:
    """UsageError for an expectation that Great Expectations does not have, with the nearest; it is not imported."""
    known = _expectation_names()
    for each in rules:
        if known and each.expectation.type not in known:
            raise UsageError(
                f"{contract.file_name}: {each.rule.place} asks for {each.expectation.type!r}, which Great Expectations "
                f"does not have; {_near(each.expectation.type, known)}."
            )


def _near(name: str, known: Sequence[str]) -> str:
    hint = nearest(name, known)
    return hint if hint.startswith("did you mean") else f"{hint[:200]} …"


def _expectation_names() -> tuple[str, ...]:
    """By the files of its core expectations; none where it is not installed."""
    package = find_spec("great_expectations")
    if package is None or not package.submodule_search_locations:
        return ()
    folder = Path(next(iter(package.submodule_search_locations))) / "expectations" / "core"
    return tuple(sorted(file.stem for file in folder.glob("*expect*.py")))


def _columns(contract: Contract, rules: Sequence[QualityRule]) -> tuple[str, ...]:
    """The columns that the expectations name; all of them where one is about the table."""
    if any(not _COLUMN_ARGUMENTS & rule.arguments.keys() for rule in rules):
        return contract.column_names
    named = {name for rule in rules for name in rule.columns}
    named |= {str(rule.arguments["column"]) for rule in rules if "row_condition" in rule.arguments}
    if any("row_condition" in rule.arguments for rule in rules):
        return contract.column_names
    return tuple(name for name in contract.column_names if name in named)


def run_apart(contract: Contract, folder: Path, settings: Settings) -> str:
    """Start the runner and wait for it; what it said on standard error."""
    log = folder / "said.txt"
    with log.open("w") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "validation.quality.row_runner", str(folder)],
            env={**os.environ, **_environment(settings)},
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
        try:
            process.wait(settings.quality_seconds)
        except subprocess.TimeoutExpired:
            raise UsageError(
                f"{contract.file_name}: the custom rules took longer than {settings.quality_seconds:g} s on the rows "
                f"and were stopped. Make them simpler, or raise FEATURES_QUALITY_SECONDS."
            ) from None
        finally:
            if process.poll() is None:  # its session is its own: Java goes with it
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    return log.read_text()


def _environment(settings: Settings) -> Mapping[str, str]:
    """The settings that Spark needs in the other process."""
    given = {
        "FEATURES_DATA": settings.bucket or str(settings.data),
        "FEATURES_SPARK_MASTER": "local[*]" if are_elsewhere(settings) else settings.spark_master,  # the rows are here
        "FEATURES_SPARK_CONF": json.dumps(settings.spark_conf),
        "FEATURES_SPARK_DRIVER_MEMORY": settings.spark_driver_memory,
    }
    given |= {"FEATURES_LOCAL": str(settings.data)} if settings.bucket else {}
    return given | ({"FEATURES_JAVA_HOME": str(settings.java_home)} if settings.java_home else {})
