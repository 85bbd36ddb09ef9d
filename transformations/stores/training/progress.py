"""The progress bar of a long retrieval, on standard error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm  # type: ignore[import-untyped]

SHOWN_AFTER_SECONDS = 3.0

Advance = Callable[[str, float], None]


@contextmanager
def progress(steps: int) -> Iterator[Advance]:
    """Yields a function to call with a label and a share of a step for each finished piece. Quick runs show no bar."""
    shown = "{desc}: {percentage:3.0f}% |{bar}| {elapsed}, about {remaining} left"
    with tqdm(total=steps, delay=SHOWN_AFTER_SECONDS, leave=False, bar_format=shown, desc="retrieval") as bar:

        def advance(what: str, share: float) -> None:
            bar.set_description_str(what, refresh=False)
            bar.update(min(share, steps - bar.n))

        yield advance
