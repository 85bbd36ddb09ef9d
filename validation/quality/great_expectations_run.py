"""Great Expectations, in memory: a suite as data, validated on a frame, its result as data.

Nothing of it is kept on disk, nothing is sent, no bar is drawn. The import takes seconds, so it waits for the first
run.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from transformations.engine.base.errors import UsageError

if TYPE_CHECKING:
    from great_expectations.data_context.data_context.ephemeral_data_context import EphemeralDataContext

_FRAME = "drop"
_EXAMPLES = 3


def validate_table(
    table: Mapping[str, Sequence[object]], suite: Mapping[str, Any], *, index: str
) -> list[dict[str, Any]]:
    """Validate a suite on a small table of numbers; index: the column whose values name a broken line.

    The result of each expectation in order, as Great Expectations writes it.
    """
    import pandas as pd

    frame = pd.DataFrame(
        {name: list(values) if name == index else np.array(values, dtype=np.float64) for name, values in table.items()}
    )
    return validate_frame(frame, suite, is_spark=False)


def validate_frame(frame: Any, suite: Mapping[str, Any], *, is_spark: bool) -> list[dict[str, Any]]:
    """Validate a suite on a frame of pandas or Spark; UsageError for an expectation that cannot be set up or run."""
    context = _context()  # first, as it imports Great Expectations
    import great_expectations as gx
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    sources = context.data_sources
    # A source of its own for each frame, since metrics are cached in it by names alone; with its asset at once, since
    # Great Expectations writes its whole configuration as YAML after each step, which was a third of a small run.
    add = sources.add_or_update_spark if is_spark else sources.add_or_update_pandas
    asset = add("spark" if is_spark else "pandas", assets=[{"name": _FRAME, "type": "dataframe"}]).get_asset(_FRAME)
    expectations = []
    for each in suite["expectations"]:
        try:
            expectations.append(ExpectationConfiguration(**each).to_domain_obj())
        except Exception as error:  # pydantic's of its own version, and GX's own
            raise UsageError(_complaint(each, error)) from None
    # Only the small profile needs the lines that break an expectation: of rows, a few values are enough.
    form: dict[str, Any] = {"result_format": "COMPLETE"}
    if "rows" in suite:
        form = {"result_format": "SUMMARY", "partial_unexpected_count": _EXAMPLES}
    try:
        found = asset.get_batch(asset.build_batch_request({"dataframe": frame})).validate(
            gx.ExpectationSuite(name=suite["name"], expectations=expectations), result_format=form
        )
    except (AttributeError, IndexError, LookupError, TypeError, ValueError) as error:  # of an argument left out
        asked = "; ".join(f"rule {each['meta']['rule']!r}: {each['type']}" for each in suite["expectations"])
        raise UsageError(
            f"Great Expectations fails with {type(error).__name__} on {asked}. Give each expectation the arguments "
            f"that it needs, or leave it out."
        ) from error
    documents: list[dict[str, Any]] = [dict(result.to_json_dict()) for result in found.results]
    results = {each["expectation_config"]["meta"]["rule"]: each for each in documents}
    ordered = [results[each["meta"]["rule"]] for each in suite["expectations"]]
    for each, result in zip(suite["expectations"], ordered, strict=True):
        if raised := _raised(result.get("exception_info") or {}):
            raise UsageError(_complaint_of_values(each, raised, suite.get("dtypes", {})))
    return ordered


def names_of_errors(trace: str) -> list[str]:
    """The classes of the errors of a trace, the first cause first; of their words, which may be values, nothing."""
    named = re.findall(r"^(?:[A-Za-z_]\w*\.)*([A-Za-z_]\w*)(?=: |$)", trace.strip(), re.ASCII | re.MULTILINE)
    return named or ["an error"]


def _raised(info: Mapping[str, Any]) -> str | None:
    """The class of what went wrong while an expectation was computed; one of its parts may say it."""
    entries = [info] if "raised_exception" in info else [each for each in info.values() if isinstance(each, Mapping)]
    traces = (str(each.get("exception_traceback")) for each in entries if each.get("raised_exception"))
    return next((names_of_errors(trace)[0] for trace in traces), None)


def _complaint(each: Mapping[str, Any], error: object) -> str:
    """What is wrong with an expectation that was not computed yet, so that no value of the data is in its words."""
    reason = " ".join(str(error).split())
    return (
        f"rule {each['meta']['rule']!r}: {each['type']} cannot be run with {dict(each['kwargs'])}: {reason[:300]}. "
        f"Correct its implementation in the contract; arguments are named as Great Expectations names them (min_value)."
    )


def _complaint_of_values(each: Mapping[str, Any], error: str, dtypes: Mapping[str, str]) -> str:
    """Great Expectations quotes the values at which it fails, a whole column at times; the columns' types tell more."""
    named = [name for value in each["kwargs"].values() for name in (value if isinstance(value, list) else [value])]
    columns = ", ".join(f"{name} ({dtypes[name]})" for name in named if isinstance(name, str) and name in dtypes)
    return (
        f"rule {each['meta']['rule']!r}: {each['type']} cannot be computed{f' of {columns}' if columns else ''}: "
        f"{error} in Great Expectations. Give it columns and arguments of types that fit each other, or leave it out."
    )


@lru_cache(maxsize=1)
def _context() -> EphemeralDataContext:
    """One context a process: a second one would only cost its time."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    with _without_spark_connect():
        import great_expectations as gx
        from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False, metric_calculations=False)
    return context


@contextmanager
def _without_spark_connect() -> Iterator[None]:
    """Hide Spark Connect, which Great Expectations imports to know its frames; we have none.

    Where the main module is no file (`python -c`, a worker of parallel tests), that import takes the process for a run
    of PySpark's doctests and ends it with code 0 (pyspark/sql/connect/utils.py:26).
    """
    name = "pyspark.sql.connect"
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]  # Python's way to say that a module cannot be imported
    try:
        yield
    finally:
        del sys.modules[name]
