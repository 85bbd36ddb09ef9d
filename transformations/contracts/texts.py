"""Texts of declarations and messages: the remedy for an unknown name, and characters that nobody sees.

A hidden character makes a text say something else than one reads: U+202E turns the order of what follows, U+200B and
U+3164 make two names that look alike, U+001B moves a terminal's cursor. Declarations are refused with one; whatever is
shown of data, files and other people's texts has it written out.
"""

import json
import re
import unicodedata
from collections.abc import Iterable
from difflib import get_close_matches

_HIDDEN_KINDS = {"Cc", "Cf", "Cs", "Zl", "Zp"}
# Letters and marks that are drawn as nothing, which Unicode's kinds do not tell from others.
_BLANK = set("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0")
# Two joiners that scripts and emoji need, and signs that are drawn though their kind is that of hidden ones.
_NEEDED = set("\n\t\u200c\u200d\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd")
_PERHAPS = re.compile(r"[^\n\t\x20-\x7e]")
_MOST_OF_A_VALUE = 60


def nearest(name: str, known: Iterable[str]) -> str:
    """The remedy clause for an unknown name: `did you mean 'x'? Known: a, b, c`."""
    names = sorted(known)
    guess = get_close_matches(name, names, n=1)
    hint = f"did you mean {guess[0]!r}? " if guess else ""
    return f"{hint}Known: {', '.join(names) or 'none'}"


def hidden_character(text: str) -> str | None:
    """The first character of a text that is not seen: a control character, one that turns the direction, a blank."""
    return next((each for each in _PERHAPS.findall(text) if _is_hidden(each)), None)


def fault_of_hidden(text: str) -> str | None:
    """What is wrong with a text for its first hidden character; None where it has none."""
    if (found := hidden_character(text)) is None:
        return None
    name = unicodedata.name(found, "a control character").lower()
    return f"holds U+{ord(found):04X} ({name}), which nobody sees"


def visible(text: str) -> str:
    r"""The text with every hidden character written out as JSON writes it: U+202E as \u202e, a line's end kept."""
    return _PERHAPS.sub(lambda found: _written_out(found[0]) if _is_hidden(found[0]) else found[0], text)


def shown_value(value: object) -> str:
    """A value of the data for a message: on one line, its hidden characters written out, its end cut off if long."""
    text = visible(str(value)).replace("\n", "\\n").replace("\t", "\\t")
    return text if len(text) <= _MOST_OF_A_VALUE else f"{text[: _MOST_OF_A_VALUE - 1]}…"


def _is_hidden(character: str) -> bool:
    return character not in _NEEDED and (character in _BLANK or unicodedata.category(character) in _HIDDEN_KINDS)


def _written_out(character: str) -> str:
    return json.dumps(character)[1:-1]
