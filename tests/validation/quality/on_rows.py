"""Great Expectations on the rows themselves, as its own users call it."""

from typing import Any

import pandas as pd

from validation.quality.great_expectations_run import validate_frame

Expectation = tuple[str, dict[str, object]]


def on_rows(frame: pd.DataFrame, *expectations: Expectation) -> list[dict[str, Any]]:
    """The results of expectations, by name and arguments."""
    return [each["result"] for each in _validated(frame, expectations)]


def verdicts_on_rows(frame: pd.DataFrame, *expectations: Expectation) -> list[bool]:
    """Whether each expectation is met."""
    return [each["success"] for each in _validated(frame, expectations)]


def _validated(frame: pd.DataFrame, expectations: tuple[Expectation, ...]) -> list[dict[str, Any]]:
    entries = [
        {"type": kind, "kwargs": arguments, "meta": {"rule": str(place)}, "severity": "critical"}
        for place, (kind, arguments) in enumerate(expectations)
    ]
    return validate_frame(frame, {"name": "rows", "rows": len(frame), "expectations": entries}, is_spark=False)
