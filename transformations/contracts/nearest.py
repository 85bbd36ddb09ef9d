"""The remedy for an unknown name, the same in every message of the platform."""

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(name: str, known: Iterable[str]) -> str:
    """The remedy clause for an unknown name: `did you mean 'x'? Known: a, b, c`."""
    names = sorted(known)
    guess = get_close_matches(name, names, n=1)
    hint = f"did you mean {guess[0]!r}? " if guess else ""
    return f"{hint}Known: {', '.join(names) or 'none'}"
