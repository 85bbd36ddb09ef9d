"""The SQL that reads delivered files: their columns, what stands in their lines, and their rows with numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from transformations.engine.base.duck import file_literal, identifier, literal
from validation.files.column_names import ROW

TEMP_FOLDER_QUERY = "SELECT current_setting('temp_directory')"
LIMITS_QUERY = "SELECT current_setting('memory_limit'), current_setting('threads')"


def cells(width: int) -> tuple[str, ...]:
    """The names under which DuckDB reads the cells of a row."""
    return tuple(f"c{number}" for number in range(width))


# Parquet


def parquet_relation(*paths: Path) -> str:
    """The FROM item of the rows of files with the same columns, and nothing that their paths say."""
    listed = ", ".join(file_literal(path) for path in paths)
    return f"read_parquet([{listed}], hive_partitioning = false)"


def described_query(relation: str) -> str:
    """A FROM item's columns and their types, as DuckDB reads them."""
    return f"DESCRIBE SELECT * FROM {relation}"


def parquet_schema_query(path: Path) -> str:
    """The file's own schema, parents first: name, physical type, number of children."""
    return f"SELECT name, type, coalesce(num_children, 0) FROM parquet_schema({file_literal(path)})"


# CSV


def census_query(relation: str, width: int, header: Sequence[str] | None, marks: Iterable[str]) -> str:
    """What stands in a CSV file's cells: the rows, their bytes, the rows that repeat the header, each mark's count.

    A row of a single cell is not compared with the header: the cell may well equal its column's name.
    """
    values = f"concat({', '.join(cells(width))})"
    pairs = zip(cells(width), header or (), strict=False)
    is_header = " AND ".join(f"{cell} = {literal(name)}" for cell, name in pairs) if header and width > 1 else "FALSE"
    counters = [
        _sum_of(f"strlen({values}) - strlen(replace({values}, {literal(mark)}, ''))") if mark else "0" for mark in marks
    ]
    return (
        f"SELECT count(*), {_sum_of(f'strlen({values})')}, count(*) FILTER (WHERE {is_header}), "
        f"{', '.join(counters)} FROM {relation}"
    )


def _sum_of(value: str) -> str:
    return f"CAST(coalesce(sum({value}), 0) AS BIGINT)"


# JSON lines


def json_keys_query(text: Path, flaws: Iterable[str]) -> str:
    """By set of keys: the keys, the rows that have them, and for each flaw (a condition) the first row that has it."""
    firsts = ", ".join(f"min(row) FILTER (WHERE {condition})" for condition in flaws)
    rows = f"SELECT json, row_number() OVER () AS row FROM {_json_relation(text)}"
    keyed = f"SELECT *, CASE WHEN json_type(json) = 'OBJECT' THEN json_keys(json) ELSE [] END AS keys FROM ({rows})"
    return f"SELECT keys, count(*), {firsts} FROM ({keyed}) GROUP BY keys ORDER BY min(row)"


def json_values_statement(text: Path, pointers: Iterable[str], values: Iterable[str], target: Path) -> str:
    """Write a Parquet file of expressions over `json`, a line's object, and `found`, what the pointers lead to."""
    listed = ", ".join(map(literal, pointers))
    found = f"SELECT json, json_extract(json, [{listed}]::VARCHAR[]) AS found FROM {_json_relation(text)}"
    named = ", ".join(f"{value} AS c{place}" for place, value in enumerate(values)) or "NULL AS c0"
    return f"COPY (SELECT {named} FROM ({found})) TO {literal(str(target))} (FORMAT parquet)"


def _json_relation(text: Path) -> str:
    return f"read_json_objects({file_literal(text)}, format = 'newline_delimited', compression = 'uncompressed')"


# A delivery of one file or many


def rows_item(relation: str, chosen: Mapping[str, str], row_number: str) -> str:
    """A FROM item of these columns, each by its name the expression that gives it, and of ROW."""
    named = "".join(f"{value} AS {identifier(name)}, " for name, value in chosen.items())
    return f"(SELECT {named}{row_number} AS {ROW} FROM {relation})"


def rows_without(rows: str, excluded: str) -> str:
    """A FROM item of the rows whose numbers another FROM item lacks."""
    return f"(SELECT * FROM {rows} WHERE {ROW} NOT IN (FROM {excluded}))"


def rows_of_files(parts: Iterable[tuple[str, str, str]]) -> str:
    """A FROM item of several files' rows; a part is a file's relation, its chosen cells, and its rows' numbers."""
    selects = (f"SELECT {chosen}, {row} AS {ROW} FROM {relation}" for relation, chosen, row in parts)
    return f"({' UNION ALL '.join(selects)})"


def no_rows(width: int) -> str:
    """A FROM item of that many columns of text without a row."""
    nulls = ", ".join(f"CAST(NULL AS VARCHAR) AS {cell}" for cell in cells(width))
    return f"(SELECT {nulls} WHERE FALSE)"


def rows_with_folders(relation: str, row: str, width: int, folders: Sequence[Sequence[str | None]], step: int) -> str:
    """A FROM item of rows with further cells, which are the same for all rows of a file: what its folders say.

    folders: by file their texts. step: by which multiple the numbers of a file's rows begin.
    """
    count = len(folders[0])
    values = ", ".join(f"({place}, {', '.join(map(literal, texts))})" for place, texts in enumerate(folders))
    listed = f"(VALUES {values}) AS folders(_place, {', '.join(f'f{place}' for place in range(count))})"
    said = ", ".join(f"CAST(f{place} AS VARCHAR) AS c{width + place}" for place in range(count))
    numbered = relation if row == ROW else f"(SELECT *, {row} AS {ROW} FROM {relation})"
    return f"(SELECT rows.*, {said} FROM {numbered} AS rows JOIN {listed} ON _place = {ROW} // {step})"
