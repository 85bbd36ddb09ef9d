"""Files that cannot be read, as broken rules at the lines that their errors name."""

from __future__ import annotations

import re
from collections.abc import Iterator

from validation.feature_rules import Problem

_AT_LINE = re.compile(r"[^:]+\.yaml:(?: line )?(\d+)(?:, column \d+)?: (.*)")


def unread_problems(place: str, fault: str) -> Iterator[Problem]:
    """A problem for each line of what is wrong with a file, at the line that it names.

    place: of the file, such as `dataset reading`; fault: the message of the error that reading it raised.
    """
    for said in fault.splitlines():
        found = _AT_LINE.fullmatch(said)
        line, text = (int(found[1]), found[2]) if found else (None, said)
        yield Problem(place, f"cannot be read: {text.rstrip('.')}", "Mend it", line)
