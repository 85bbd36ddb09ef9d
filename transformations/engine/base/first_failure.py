"""Find the row that makes a computation over many rows fail."""

from __future__ import annotations

from collections.abc import Callable


def first_failure(attempt: Callable[[int, int], object], rows: int, error: Exception) -> tuple[int | None, Exception]:
    """The first row that fails, found by bisection, and its error; None where only the rows together fail.

    attempt: computes `count` rows from `start` on. error: what it raised for all of them.
    """
    start = 0
    while rows > 1:
        for first, count in ((start, rows // 2), (start + rows // 2, rows - rows // 2)):
            try:
                attempt(first, count)
            except Exception as of_half:
                start, rows, error = first, count, of_half
                break
        else:
            return None, error
    return start, error
