"""Errors of ours on their way from Spark's tasks to whoever asked: Spark keeps nothing of an error but its text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager

from transformations.engine.base import errors
from transformations.engine.base.errors import FeaturesError

_MARK = "@@features"


@contextmanager
def told() -> Iterator[None]:
    """In a task: send an error of ours through Spark, in whose text `original_error` finds it."""
    try:
        yield
    except FeaturesError as error:
        word = json.dumps([type(error).__name__, error.message])
        raise RuntimeError(f"{_MARK}{word}{_MARK}") from error


def original_error(text: str) -> FeaturesError | None:
    """The error of ours that a task ended with, from the text that Spark has of it; None for any other."""
    found = re.search(f"{_MARK}(.*?){_MARK}", text, re.DOTALL)
    if found is None:
        return None
    name, message = json.loads(found[1])
    kind = getattr(errors, name, errors.DataError)
    error: FeaturesError = kind(message)
    return error


@contextmanager
def errors_of_tasks() -> Iterator[None]:
    """Where a job's results are asked for: raise what a task of ours raised, which Spark wraps in errors of its own."""
    from pyspark.errors import PySparkException

    try:
        yield
    except PySparkException as error:
        original = original_error(str(error))
        if original is None:
            raise
        raise original from error
