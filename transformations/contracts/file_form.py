"""How a source's files are written, read from its contract: the CSV dialect, null tokens, columns left out."""

import codecs
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields

from transformations.contracts.document import Node
from transformations.contracts.model import UNQUOTED, Column, CsvDialect, FileForm
from transformations.contracts.texts import nearest

_LETTERS = r'Az,;"\u0041+-.xn--'  # with all that codecs take for an escape


def file_form(properties: Node, columns: Sequence[Column]) -> FileForm:
    """The form of a source's files from its customProperties; no column of a file is two things."""
    case = properties.optional("headerCase", str, "ignore, or leave it out")
    if case not in (None, "ignore"):
        raise properties.error("headerCase", f"is {case!r}. Write ignore, or leave it out: then case counts.")
    form = FileForm(
        csv=_read_dialect(properties),
        null_tokens=_read_texts(properties, "nullTokens", "NA"),
        ignored_columns=_read_texts(properties, "ignoredColumns", "internal_note"),
        ignores_header_case=case == "ignore",
        folder_columns=_read_texts(properties, "folderColumns", "day"),
    )
    names = [each.in_file for each in columns]
    if strange := [name for name in form.folder_columns if name not in names]:
        raise properties.error("folderColumns", f"names {strange[0]!r}, no column; {nearest(strange[0], names)}.")
    counts = Counter(form.folded(name) for name in (*(each.in_file for each in columns), *form.ignored_columns))
    if twice := [name for name, count in counts.items() if count > 1]:
        raise properties.error(
            "ignoredColumns", f"and the columns' names in the file say {twice[0]!r} more than once. Say each once."
        )
    if form.csv is not None and not form.csv.header and form.ignored_columns:
        raise properties.error("ignoredColumns", "cannot be told apart in files without a header. Leave it out.")
    return form


def _read_dialect(properties: Node) -> CsvDialect | None:
    if properties.values.get("csv") is None:
        return None
    node = properties.child("csv", "a mapping such as { delimiter: ';', encoding: latin-1 }")
    known = tuple(field.name for field in fields(CsvDialect))
    if unknown := [str(key) for key in node.values if key not in known]:
        raise node.error(unknown[0], f"is not known; {nearest(unknown[0], known)}.")
    quote = _read_character(node, "quote", '"')
    dialect = CsvDialect(
        delimiter=_read_character(node, "delimiter", ","),
        quote=quote,
        escape=_read_character(node, "escape", quote) if quote else UNQUOTED,
        header=_read_flag(node, "header"),
        encoding=_read_encoding(node),
        comment=_read_character(node, "comment", "") or None,
    )
    _refuse_ambiguous(node, dialect)
    return dialect


def _refuse_ambiguous(node: Node, dialect: CsvDialect) -> None:
    if not dialect.delimiter:
        raise node.error("delimiter", "is empty. Write the character between two cells, such as ';'.")
    if dialect.quote and dialect.escape not in (dialect.quote, "\\"):
        raise node.error("escape", f"is {dialect.escape!r}. Write the quote itself, where it is doubled, or '\\'.")
    special = [each for each in (dialect.delimiter, dialect.quote, dialect.comment) if each]
    if len(set(special)) < len(special):
        raise node.error("delimiter", "is also the quote or the comment. Each character can mean one thing.")


def _read_character(node: Node, key: str, default: str) -> str:
    if key not in node.values:
        return default
    value = node.values[key]
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > 1 or not value.isascii() or value in ("\r", "\n", "\0"):
        raise node.error(key, f'is {value!r}. Write one ASCII character in quotes, no newline; a tab is "\\t".')
    return value


def _read_flag(node: Node, key: str) -> bool:
    value = node.optional(key, bool, "true or false")
    return True if value is None else value


def _read_encoding(node: Node) -> str:
    name = node.optional("encoding", str, "an encoding's name, such as utf-8, latin-1 or cp1252") or "utf-8"
    try:
        encoding = codecs.lookup(name).name
        if _keeps_every_letter(encoding):
            return encoding
    except (LookupError, UnicodeError):  # LookupError: of codecs between bytes, such as zlib, too
        pass
    raise node.error("encoding", f"is {name!r}, unknown. Write one such as utf-8, latin-1 or cp1252.")


def _keeps_every_letter(encoding: str) -> bool:
    """Whether each letter has bytes of its own. Python's codecs for host names and for source text have escapes:
    `unicode_escape` turns a backslash and an n into a line break.
    """
    written = _LETTERS.encode(encoding)[len("".encode(encoding)) :]  # behind a byte order mark
    return written.decode(encoding) == _LETTERS and len(written) in (len(_LETTERS) * width for width in (1, 2, 4))


def _read_texts(properties: Node, key: str, example: str) -> tuple[str, ...]:
    values = properties.values.get(key)
    if values is None:
        return ()
    texts = values if isinstance(values, list) else [values]
    if isinstance(values, Mapping) or not all(isinstance(text, str) for text in texts):
        raise properties.error(key, f"is {values!r}. Write a list of texts in quotes, such as ['{example}'].")
    return tuple(texts)
