"""The first version of a contract, drafted from a file; what cannot be seen there is marked for its author."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from transformations.contracts.document import FILL_IN
from transformations.contracts.model import LOGICAL_TYPES, CsvDialect
from transformations.contracts.texts import hidden_character
from transformations.engine.base import duck
from transformations.engine.base.errors import UsageError
from transformations.engine.base.words import plural
from validation.drafting.columns import TABLE, Seen, SeenFile, look
from validation.drafting.keys import KeyColumn, KeyGuess, guess_keys
from validation.drafting.readings import BACKSLASH_NULL
from validation.files.csv_dialects import find_dialect
from validation.files.drop_files import open_drop, readable
from validation.files.file_kinds import is_csv, is_json_lines, refuse_other_than_file


def draft_contract(path: Path, name: str | None = None) -> str:
    """The YAML text of a first contract version; the reader refuses it until every mark is filled in.

    Nothing in it is a guess that could pass for a fact: what several readings of the file would allow is a mark, and a
    text stays text unless every value of the file would come back from the number, date or time letter for letter.
    """
    source = name or re.sub(r"\W+", "_", path.name.split(".")[0]).strip("_").lower()
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", source):
        raise UsageError(f"{source!r} cannot name a source. Give it a name of letters, digits and _ with --name.")
    with duck.session() as connection:
        refuse_other_than_file(path)
        if is_json_lines(path):
            raise UsageError(
                f"{path.name}: a contract is drafted from Parquet or CSV. Write its rows as one of them, draft, and "
                f"deliver JSON lines under the contract."
            )
        dialect = find_dialect(path) if is_csv(path) else None
        file = open_drop(connection, path, dialect=dialect)
        with readable(path.name):
            seen = look(connection, file)
        event_time = _guess_event_time(seen.columns)
        possible = [KeyColumn(column.name, column.dtype) for column in seen.columns if not column.nulls]
        guess = guess_keys(connection, TABLE, possible, event_time.name if event_time else None)
    return "\n".join(_Draft(source, path.name, dialect, seen, event_time, guess).lines())


def write_draft(text: str, name: str, folder: Path) -> Path:
    """Write a draft as a new contract; UsageError where the source has one, which is never overwritten.

    The folder is made where it is missing: git keeps no empty one, so a clone of a blank repository has none.
    """
    path = folder / f"{name}.yaml"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text + "\n")
    except FileExistsError:
        raise UsageError(f"{path} exists and is left as it is. Choose another --name, or edit it by hand.") from None
    return path


def source_name(text: str) -> str:
    """The name that a draft gives its source."""
    name, *_ = re.findall(r"^  - name: (\w+)$", text, re.MULTILINE)
    return str(name)


def _guess_event_time(columns: Sequence[Seen]) -> Seen | None:
    return min(_timed_columns(columns), key=lambda column: column.dtype == "Date", default=None)


def _timed_columns(columns: Sequence[Seen]) -> list[Seen]:
    return [column for column in columns if column.dtype in ("UnixTimestamp", "Date") and not column.nulls]


class _Draft:
    """The lines of a contract, from what was seen of a file."""

    def __init__(
        self,
        source: str,
        file_name: str,
        dialect: CsvDialect | None,
        seen: SeenFile,
        event_time: Seen | None,
        guess: KeyGuess,
    ) -> None:
        self.source, self.file_name, self.dialect, self.seen = source, file_name, dialect, seen
        self.event_time, self.guess = event_time, guess
        self.key = guess.keys[0] if guess.keys else ()

    def lines(self) -> Iterator[str]:
        """The whole text."""
        check = f"features contract check {self.source} {shlex.quote(_printable(self.file_name))}"
        drafted = f"drafted from {plural(self.seen.rows, 'row')} of {_printable(self.file_name)}"
        yield f"# First version, {drafted}. Read each line, fill in what"
        yield f"# says {FILL_IN}; until then no command accepts it. Then: {check}"
        yield "# A number's unit goes beside it, as customProperties: [{ property: unit, value: minutes }]"
        yield from ("apiVersion: v3.1.0", "kind: DataContract", f"id: {self.source}", f"name: {self.source}")
        yield from ("version: 0.1.0", "status: draft", "description:")
        yield f"  purpose: {FILL_IN}  # what the data is for, and where it comes from"
        yield from ("team:", f"  name: {FILL_IN}  # who answers for the data", "schema:", f"  - name: {self.source}")
        yield from ("    logicalType: object", "    physicalType: file")
        yield f"    description: {FILL_IN}  # what one row is"
        yield "    customProperties:"
        yield from self._time_properties()
        yield from self._file_properties()
        yield from (f"    # key: {line}" for line in self._key_comment())
        yield "    properties:"
        for column in self.seen.columns:
            yield from self._column_lines(column)

    def _time_properties(self) -> Iterator[str]:
        if self.event_time:
            times = [column.name for column in _timed_columns(self.seen.columns) if column is not self.event_time]
            comment = f"or {', '.join(times)}" if times else "when a row happens"
            yield from _property_lines("eventTime", self.event_time.name, comment)
        if local := [column.name for column in self.seen.columns if column.local]:
            yield from _property_lines(
                "timestampZone", FILL_IN, f"the zone that the clock of {', '.join(local)} shows, or UTC"
            )
        yield from _property_lines("businessDayZone", FILL_IN, "whose calendar makes the days, such as Europe/Berlin")
        if self.event_time:
            yield from _property_lines("delivery", "append", "a drop adds rows, and supersedes those of the same key")
        else:
            yield from _property_lines(
                "validFrom", FILL_IN, "from when the first drop holds, as '2020-01-01T00:00:00+01:00'"
            )
            yield from _property_lines("delivery", "snapshot", "a drop is the whole content; append: it only adds")

    def _file_properties(self) -> Iterator[str]:
        if self.dialect:
            value, comment = self.dialect.as_property(), "as every line of the file has it"
            if self.dialect.quote != CsvDialect.quote:
                likely = (
                    f"{_quote_text(self.dialect.quote)} does" if self.dialect.quote else 'no quote at all ("") does'
                )
                value["quote"] = FILL_IN
                if self.dialect.escape == self.dialect.quote:
                    del value["escape"]  # follows the quote
                comment = f"double quotes do not fit every line; {likely}. Or is one of them a slip? Then mend the file"
            doubted = [column.physical_name for column in self.seen.columns if column.is_named_like_a_value]
            if self.dialect.header and doubted:
                value["header"] = FILL_IN
                comment = (
                    f"does its first line name the columns (true)? {_first_names(doubted)} may be its first row (false)"
                )
            if not self.dialect.encoding.startswith("utf"):
                value["encoding"] = FILL_IN
                comment = (
                    f"its bytes are no UTF-8; {self.dialect.encoding} is likely. Do letters beyond a-z look right?"
                )
            yield from _property_lines("csv", _quote_text(value), comment)
        if self.seen.null_tokens:
            counts = ", ".join(f"{column.name} {sum(n.values()):,}" for column, n in self._token_lines())
            yield from _property_lines("nullTokens", json.dumps(self.seen.null_tokens), f"cells with it: {counts}")
            escaped = [column.name for column in self.seen.columns if column.backslashes]
            if BACKSLASH_NULL in self.seen.null_tokens and escaped:
                yield f"        # Beside \\N, {_first_names(escaped)} has backslashes. In dumps of MySQL, Postgres or"
                yield "        # Hive they stand for other characters, which is not read: export the table as CSV."
        if unreadable := self.seen.unreadable:
            types = ", ".join(f"{_on_one_line(name)} is {kind}" for name, kind in unreadable.items())
            yield from _property_lines(
                "ignoredColumns", _quote_text([*unreadable]), f"no dtype of ours holds them: {types}"
            )

    def _token_lines(self) -> Iterator[tuple[Seen, dict[str, int]]]:
        for column in self.seen.columns:
            if found := {token: n for token, n in column.tokens.items() if token in self.seen.null_tokens}:
                yield column, found

    def _key_comment(self) -> Iterator[str]:
        nulls = [column.name for column in self.seen.columns if column.nulls]
        tried = len(self.seen.columns) - len(nulls)
        left_out = f" (not those with nulls: {_first_names(nulls)})" if nulls else ""
        if self.guess.repeated:
            repeated = plural(self.guess.repeated, "row repeats", "rows repeat")
            yield f"no set of columns is unique: {repeated} another one in all {tried} columns"
            yield f"without nulls{left_out}. Without a key, corrections and retractions are impossible"
            return
        if not self.key:
            nullable = "the only column has" if len(nulls) == 1 else f"all {len(nulls)} columns have"
            why = f"{nullable} nulls" if tried == 0 else "one row shows none"
            yield f"no guess, since {why}; without a key, corrections and retractions are impossible"
            return
        narrowest = (
            "no narrower set is" if self.guess.is_complete else "a narrower set may be, the search was cut short"
        )
        first = f", the event time ({self.event_time.name}) first" if self.event_time else ""
        yield f"a guess: ({', '.join(self.key)}) is unique in this file; {narrowest}. Tried: all sets of the"
        yield f"{plural(tried, 'column')} without nulls{first}{left_out}."
        if others := self.guess.keys[1:]:
            yield f"Also unique: {', '.join('(' + ', '.join(key) + ')' for key in others)}."
        yield "A later row of the same key supersedes the earlier: say true only of what identifies a row for ever."

    def _column_lines(self, column: Seen) -> Iterator[str]:
        yield f"      - name: {column.name}"
        if column.physical_name != column.name:
            yield f"        physicalName: {_quote_text(column.physical_name)}"
        note = f"  # {column.reading.note}" if column.reading.note else ""
        yield f"        logicalType: {LOGICAL_TYPES[column.dtype]}{'' if column.reading.cast else note}"
        if column.reading.cast:
            stored = note or f"  # a {LOGICAL_TYPES[column.dtype]} stored as text"
            yield f"        physicalType: {column.reading.cast}{stored}"
        yield f"        description: {FILL_IN}  # {_observed_text(column)}"
        if column.nulls:
            yield f"        required: false  # null in {column.nulls:,} of {plural(self.seen.rows, 'row')}"
        else:
            yield "        required: true"
        if column.name in self.key:
            yield f"        primaryKey: {FILL_IN}  # true or false, see key above; if false, remove the position, too"
            yield f"        primaryKeyPosition: {self.key.index(column.name) + 1}"
        yield from _time_form_lines(column)
        yield from _measured_limits(column)


def _property_lines(name: str, value: str, comment: str) -> Iterator[str]:
    yield f"      - property: {name}"
    yield f"        value: {value}  # {comment}"


def _time_form_lines(column: Seen) -> Iterator[str]:
    """The form of its times, where the file shows which; a mark where it does not."""
    if column.reading.form is None:
        return
    yield "        customProperties:"
    yield "          - property: strptime"
    form = json.dumps(column.reading.form)
    if not column.rivals:
        yield f"            value: {form}"
        return
    rivals = " and ".join(json.dumps(each) for each in (column.reading.form, *column.rivals))
    yield f"            value: {FILL_IN}  # {rivals} fit every value; which is meant?"


def _measured_limits(column: Seen) -> Iterator[str]:
    """The range or the values as measured, as a comment: whether they must hold, only the author knows."""
    is_identity = KeyColumn(column.name, column.dtype).is_identity_by_name
    if column.dtype in ("Int64", "Float64") and column.lowest is not None and not is_identity:
        bounds = f"minimum: {column.lowest}, maximum: {column.highest}"
        yield f"        # logicalTypeOptions: {{ {bounds} }}  # as measured; uncomment what must always hold"
    elif column.dtype == "String" and column.values and not is_identity:
        listed = ", ".join(_quote_text(value) for value in column.values)
        yield "        # quality:"
        yield f"        #   - {{ metric: invalidValues, mustBe: 0, arguments: {{ validValues: [{listed}] }} }}"


def _observed_text(column: Seen) -> str:
    if column.lowest is None or column.highest is None:
        return "seen: nothing but null"
    seen = f"seen, if read by {column.reading.form}:" if column.rivals else "seen:"
    if column.values:
        return f"{seen} {', '.join(_on_one_line(value) for value in column.values)}"
    return f"{seen} {_on_one_line(column.lowest)} to {_on_one_line(column.highest)}, {column.distinct:,} different"


def _first_names(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _on_one_line(value: str) -> str:
    """A value on one line of a comment."""
    text = _printable(" ".join(value.split()))
    return text if len(text) <= 40 else f"{text[:39]}…"


def _quote_text(value: object) -> str:
    """A value in the quotes of JSON, which YAML reads; control characters would be no YAML at all."""
    return _printable(json.dumps(value, ensure_ascii=False))


def _printable(text: str) -> str:
    """The text with YAML's escape for each character that YAML does not take as it is, or that nobody sees."""
    return "".join(
        each if each.isprintable() and hidden_character(each) is None else f"\\U{ord(each):08x}" for each in text
    )
