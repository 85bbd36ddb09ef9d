"""The dtypes of columns, features and request fields, under Feast's names, and what other systems call them.

Feast itself is not imported here: Spark workers and `features --help` need these names in milliseconds.
"""

from dataclasses import KW_ONLY, dataclass
from typing import Annotated, TypeAlias

import pyarrow as pa


@dataclass(frozen=True)
class Dtype:
    """A value type: `name` is the name in `feast.types`, `arrow` the type that stores and passes it.

    duckdb, spark: what its columns are in SQL. pandas: the nullable dtype of its series, where pandas has one.
    """

    name: str
    arrow: pa.DataType
    _: KW_ONLY
    duckdb: str
    spark: str
    pandas: str | None = None

    def __str__(self) -> str:
        return self.name


INT64 = Dtype("Int64", pa.int64(), duckdb="BIGINT", spark="bigint", pandas="Int64")
FLOAT64 = Dtype("Float64", pa.float64(), duckdb="DOUBLE", spark="double", pandas="Float64")
STRING = Dtype("String", pa.string(), duckdb="VARCHAR", spark="string", pandas="string")
BOOL = Dtype("Bool", pa.bool_(), duckdb="BOOLEAN", spark="boolean", pandas="boolean")
UNIX_TIMESTAMP = Dtype("UnixTimestamp", pa.timestamp("us", tz="UTC"), duckdb="TIMESTAMPTZ", spark="timestamp")
DATE = Dtype("Date", pa.date32(), duckdb="DATE", spark="date")
# For system columns and foreign views only; authors cannot declare it.
INT32 = Dtype("Int32", pa.int32(), duckdb="INTEGER", spark="int", pandas="Int32")

SCALARS: dict[str, Dtype] = {dtype.name: dtype for dtype in (INT64, FLOAT64, STRING, BOOL, UNIX_TIMESTAMP, DATE)}
STORED = (*SCALARS.values(), INT32)


def array_of(dtype: Dtype) -> Dtype:
    """The list dtype over a scalar one, named as Feast prints it: `Array(Int64)`."""
    return Dtype(
        f"Array({dtype.name})", pa.list_(dtype.arrow), duckdb=f"{dtype.duckdb}[]", spark=f"array<{dtype.spark}>"
    )


def dtype_named(name: str) -> Dtype:
    """The dtype of that Feast name, scalar or `Array(…)`; KeyError when there is none."""
    if name.startswith("Array("):
        return array_of(SCALARS[name[len("Array(") : -1]])
    return SCALARS[name]


# What an author writes in a signature: to mypy these are Arrow arrays, to us they carry the dtype.
Int64: TypeAlias = Annotated[pa.Int64Array, INT64]
Float64: TypeAlias = Annotated[pa.DoubleArray, FLOAT64]
String: TypeAlias = Annotated[pa.StringArray, STRING]
Bool: TypeAlias = Annotated[pa.BooleanArray, BOOL]
UnixTimestamp: TypeAlias = Annotated[pa.TimestampArray, UNIX_TIMESTAMP]
