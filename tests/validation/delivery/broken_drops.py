"""The corpus of broken drops: each a function that writes a delivery into a folder, and what is said of it.

Half of them were seen in the field, the others are what somebody would try. None may end in a traceback or leave
anything behind; `test_broken_drops` holds that.
"""

from __future__ import annotations

import codecs
import gzip
import io
import json
import os
import struct
import zipfile
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

AT = datetime(2020, 1, 3, 10)
NAIVE = pa.timestamp("us")
HEADER = "id,amount,at\n"
LINE = "1,1.5,2020-01-03 10:00\n"
OBJECT = '{"id": 1, "amount": 1.5, "at": "2020-01-03 10:00"}\n'

Write = Callable[[Path], Path]


def table(**columns: pa.Array | list[object] | None) -> pa.Table:
    """A good drop of one row, but for these columns; None leaves one out."""
    good = {"id": pa.array([1], pa.int64()), "amount": pa.array([1.5]), "at": pa.array([AT], NAIVE)}
    return pa.table({name: column for name, column in (good | columns).items() if column is not None})


def parquet(rows: pa.Table, name: str = "drop.parquet", **options: object) -> Write:
    def write(folder: Path) -> Path:
        pq.write_table(rows, folder / name, **options)
        return folder / name

    return write


def spoiled(change: Callable[[bytes], bytes], rows: pa.Table | None = None) -> Write:
    """A Parquet file whose bytes are changed afterwards."""

    def write(folder: Path) -> Path:
        path = parquet(rows or table())(folder)
        path.write_bytes(change(path.read_bytes()))
        return path

    return write


def file(content: bytes | str, name: str = "drop.csv") -> Write:
    def write(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def csv(*lines: str, header: str = HEADER) -> Write:
    return file(header + "".join(f"{line}\n" for line in lines))


def json_lines(text: str, name: str = "drop.jsonl") -> Write:
    return file(text, name)


def folder(*writes: Write, at: str = "day") -> Write:
    def write(root: Path) -> Path:
        (root / at).mkdir()
        for each in writes:
            each(root / at)
        return root / at

    return write


def link(name: str, target: str) -> Write:
    def write(root: Path) -> Path:
        (root.parent / "outside.csv").write_text(HEADER + LINE)
        (root / name).symlink_to(target)
        return root / name

    return write


def pipe(name: str) -> Write:
    def write(root: Path) -> Path:
        os.mkfifo(root / name)
        return root / name

    return write


def zipped() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("drop.csv", HEADER + LINE)
    return content.getvalue()


def with_footer_of(length: int) -> Callable[[bytes], bytes]:
    return lambda content: content[:-8] + struct.pack("<I", length) + b"PAR1"


def with_footer_of_zeros(content: bytes) -> bytes:
    (length,) = struct.unpack("<I", content[-8:-4])
    return content[: -8 - length] + bytes(length) + content[-8:]


GOOD = file(HEADER + LINE, "a.csv")
WIDE = {f"c{number}": pa.array([number]) for number in range(10_000)}
THOUSAND_LEVELS = '{"id": ' + "[" * 1_000 + "]" * 1_000 + "}\n"

BROKEN: dict[str, tuple[Write, str]] = {
    # Parquet
    "parquet cut off": (spoiled(lambda content: content[: len(content) // 2]), "cannot be read"),
    "parquet of its mark alone": (file(b"PAR1", "drop.parquet"), "cannot be read: .*too small"),
    "parquet of nothing": (file(b"", "drop.parquet"), "cannot be read"),
    "parquet of text": (file("id,at\n" * 20, "drop.parquet"), "cannot be read"),
    "parquet with a huge footer": (spoiled(with_footer_of(2**31 - 1)), "cannot be read"),
    "parquet with a footer of zeros": (spoiled(with_footer_of_zeros), "cannot be read"),
    "parquet encrypted": (spoiled(lambda content: content[:-4] + b"PARE"), "cannot be read"),
    "parquet damaged inside": (
        spoiled(lambda content: content[:4] + b"\xff" * 60 + content[64:], table(id=pa.array(range(1), pa.int64()))),
        "cannot be read",
    ),
    "parquet without rows": (parquet(table().slice(0, 0)), "has no rows"),
    "parquet without columns": (parquet(pa.table({})), "lacks 3 columns|cannot be read|has no rows"),
    "parquet lacks a column": (parquet(table(amount=None)), "lacks 1 column: amount"),
    "parquet has one more": (parquet(table(more=pa.array([1]))), "1 column that the contract does not name: more"),
    "parquet of 10,000 columns": (parquet(table(**WIDE)), "10,000 columns that the contract does not name"),
    "parquet repeats a column": (
        parquet(pa.table([pa.array([1]), pa.array([2])], names=["id", "id"])),
        "2 columns called 'id', 'id'",
    ),
    "parquet repeats a column in another case": (parquet(table(ID=pa.array([1]))), "2 columns called 'id', 'ID'"),
    "parquet with a nameless column": (parquet(table(**{" ": pa.array([1])})), "column 4 of 4 has no name"),
    "parquet nests": (parquet(table(id=pa.array([{"a": 1}]))), "'id' is STRUCT"),
    "parquet lists": (parquet(table(amount=pa.array([[1.5]]))), "'amount' is DOUBLE\\[\\]"),
    "parquet has texts for numbers": (parquet(table(id=pa.array(["1"]))), "'id' is VARCHAR"),
    "parquet has floats for integers": (parquet(table(id=pa.array([1.0]))), "'id' is DOUBLE"),
    "parquet has bytes": (parquet(table(id=pa.array([b"1"]))), "'id' is BLOB"),
    "parquet has wide decimals": (
        parquet(table(amount=pa.array([Decimal(1)], pa.decimal128(30, 2)))),
        "'amount' is DEC",
    ),
    "parquet has durations": (parquet(table(amount=pa.array([timedelta(1)]))), r"'amount' is DURATION\[us\]"),
    "parquet has dates for times": (parquet(table(at=pa.array([date(2020, 1, 3)]))), "'at' is DATE"),
    "parquet has nanoseconds": (parquet(table(at=pa.array([1], pa.timestamp("ns")))), "below one microsecond"),
    "parquet has milliseconds of year 300,000": (
        parquet(table(at=pa.array([10**16], pa.timestamp("ms")))),
        "holds times that 64 bits of microseconds do not",
    ),
    "parquet has 64 unsigned bits": (parquet(table(id=pa.array([2**64 - 1], pa.uint64()))), "beyond 64 bits, signed"),
    "parquet has infinity": (parquet(table(amount=pa.array([float("inf")]))), "1 value that is infinite"),
    "parquet has a null key": (parquet(table(id=pa.array([None], pa.int64()))), "has 1 null"),
    # CSV
    "csv of nothing": (file(""), "is empty: it has not even a header line"),
    "csv of a header": (csv(), "has no rows"),
    "csv without its header": (csv("1,1.5,2020-01-03", header=""), "lacks 3 columns"),
    "csv repeats a column": (csv("1,1.5,2020-01-03,2", header="id,amount,at,id\n"), "2 columns called 'id', 'id'"),
    "csv with a nameless column": (csv("0,1,1.5,2020-01-03", header=",id,amount,at\n"), "column 1 of 4 has no name"),
    "csv in latin-1": (file((HEADER + "1,1.5,é\n").encode("latin-1")), r"line 2 is not written in utf-8"),
    "csv in utf-16": (file((HEADER + LINE).encode("utf-16")), "utf-16"),
    "csv with another mark": (file(codecs.BOM_UTF32_LE + (HEADER + LINE).encode("utf-32-le")), "utf-32|not written in"),
    "csv with NUL bytes": (file(HEADER + "1,1.5,\0\n"), "line 2 holds a NUL byte"),
    "csv with a ragged line": (csv("1,1.5,2020-01-03", "2,1.5"), "line 3 is no row"),
    "csv with a line too many cells": (csv("1,1.5,2020-01-03,x"), "line 2 is no row"),
    "csv with an open quote": (csv('1,"1.5,2020-01-03'), "is no row|cannot be read"),
    "csv with semicolons": (csv("1;1.5;2020-01-03", header="id;amount;at\n"), "was read as one cell, 'id;amount;at'"),
    "csv of two joined": (file((HEADER + LINE) * 2), "its header stands once more among its rows"),
    "csv with mixed line ends": (file(HEADER + LINE[:-1] + "\r" + LINE), "line|cannot be read"),
    "csv with an endless line": (csv("1," + "9" * 3_000_000 + ",2020-01-03"), "longer than 2 MB|cannot be a number"),
    "csv with a comma for a point": (csv('1,"1,5",2020-01-03 10:00'), "cannot be a number"),
    "csv with an excel date": (csv("1,1.5,43833"), "cannot be a time"),
    "csv with a time that never was": (csv("1,1.5,2020-03-08 02:30"), "local time"),
    "csv of tomorrow": (csv("1,1.5,2020-03-01 10:00"), "after now"),
    "csv of 1066": (csv("1,1.5,1066-10-14 09:00"), "outside the years 1900 to 2199"),
    "csv repeats a key": (csv("1,1,2020-01-03", "1,1,2020-01-03"), "key id is repeated by 1 row"),
    "csv with an integer of 70 bits": (csv(f"{2**70},1,2020-01-03"), "cannot be an integer of 64 bits"),
    "csv below its range": (csv("1,-1,2020-01-03"), "below 0"),
    # archives
    "gzip in gzip": (file(gzip.compress(gzip.compress(b"id\n")), "drop.csv.gz"), "packed with gzip"),
    "gzip cut off": (file(gzip.compress((HEADER + LINE).encode())[:-9], "drop.csv.gz"), "cannot be unpacked"),
    "gzip with another checksum": (
        file(gzip.compress((HEADER + LINE).encode())[:-8] + bytes(8), "drop.csv.gz"),
        "cannot be unpacked",
    ),
    "gzip of no gzip": (file(HEADER + LINE, "drop.csv.gz"), "cannot be unpacked"),
    "gzip without its ending": (file(gzip.compress((HEADER + LINE).encode())), "packed with gzip"),
    "zstd cut off": (
        file(pa.compress((HEADER + LINE * 99).encode(), codec="zstd", asbytes=True)[:-9], "drop.csv.zst"),
        "cannot be unpacked|is no row|line",
    ),
    "zip": (file(zipped()), "a zip archive"),
    "a workbook": (file(b"\xd0\xcf\x11\xe0" + bytes(99)), "a workbook of an older Excel"),
    "parquet called csv": (lambda root: parquet(table())(root).rename(root / "drop.csv"), "a Parquet file"),
    "a bomb": (file(gzip.compress(bytes(65 * 2**20)), "drop.csv.gz"), "unpacks to more than 500 times"),
    # JSON lines
    "json of an array": (json_lines(f"[{OBJECT[:-1]}]\n"), "line 1 is no JSON object"),
    "json over several lines": (json_lines(json.dumps(json.loads(OBJECT), indent=1)), "line 1 is no JSON"),
    "json with half a letter": (
        json_lines(OBJECT.replace("2020", "\\ud800")),
        "line 1 has half of a pair of surrogates",
    ),
    "json cut off": (json_lines(OBJECT + OBJECT[:20]), "line 2 is no JSON"),
    "json repeats a key": (json_lines('{"id": 1, "id": 2}\n'), "says a key twice"),
    "json repeats a key in another case": (json_lines('{"id": 1, "ID": 2}\n'), "2 columns called 'id', 'ID'"),
    "json nests": (json_lines(OBJECT.replace("1.5", '{"EUR": 1.5}')), "cannot be a number"),
    "json nests a thousand levels": (json_lines(THOUSAND_LEVELS), "line 1 is no JSON|cannot be|lacks"),
    "json of numbers in quotes": (json_lines(OBJECT.replace("1,", '"1",', 1)), "cannot be an integer"),
    "json of rounded numbers": (
        json_lines(OBJECT.replace("1,", f"{2**53},", 1)),
        r"may have rounded \(from 2\^53 on\)",
    ),
    "json with an unknown key": (json_lines(OBJECT.replace("}", ', "more": 1}')), "does not name: more"),
    "json in latin-1": (file(OBJECT.replace("2020", "é").encode("latin-1"), "drop.jsonl"), "not written in utf-8"),
    "json with NUL bytes": (json_lines(OBJECT + "\0\n"), "line 2 holds a NUL byte"),
    # paths
    "no such file": (lambda root: root / "nowhere.csv", "no such file"),
    "a file without a known ending": (file(HEADER, "drop.txt"), "neither Parquet, CSV nor JSON lines"),
    "a pipe": (pipe("drop.csv"), "a device, a pipe or a socket"),
    "a link to nothing": (link("drop.csv", "nowhere"), "no such file"),
    "a link to itself": (link("drop.csv", "drop.csv"), "no such file"),
    "a backslash and a star": (file(HEADER + LINE, "a\\*.csv"), "both a backslash and one of"),
    "an empty folder": (folder(), "has no file to read"),
    "a folder with a note": (folder(GOOD, file("hello", "read.me")), "read.me: neither Parquet"),
    "a folder with a folder": (folder(GOOD, folder(GOOD, at="more")), "has a folder more"),
    "a folder still being written": (folder(GOOD, folder(at="_temporary")), "still being written"),
    "a folder with a pipe": (folder(GOOD, pipe("b.csv")), "b.csv is a device, a pipe or a socket"),
    "a folder with a link out of it": (folder(GOOD, link("b.csv", "../../outside.csv")), "leads out of the folder"),
    "a folder of two schemas": (folder(GOOD, file("id,at\n2,2020-01-03\n", "b.csv")), "b.csv lacks 'amount'"),
    "a folder of two types": (
        folder(parquet(table(), "a.parquet"), parquet(table(id=pa.array(["2"])), "b.parquet")),
        "'id' is BIGINT in a.parquet and VARCHAR in b.parquet",
    ),
    "a folder of two kinds": (folder(GOOD, json_lines(OBJECT, "b.jsonl")), "mixes kinds of files"),
    "a folder with one bad file": (folder(GOOD, file("", "b.csv")), "b.csv is empty"),
    "a folder with a repeated key": (folder(GOOD, file(HEADER + LINE, "b.csv")), "1 of b.csv"),
}
