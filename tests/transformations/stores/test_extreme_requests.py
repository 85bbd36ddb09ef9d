"""Extreme request fields of on-demand features: the same value, or the same refusal, in training and however asked."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from feast import FeatureStore, Field, OnDemandFeatureView, RequestSource
from feast.types import Bool as FeastBool
from feast.types import FeastType
from feast.types import Float64 as FeastFloat64
from feast.types import Int64 as FeastInt64
from feast.types import String as FeastString
from feast.types import UnixTimestamp as FeastUnixTimestamp

from transformations import ANYTHING, Bool, Float64, Int64, String, UnixTimestamp, on_demand
from transformations.stores.computed.on_demand import on_demand_view

from .extremes import INFINITY, NAN, NOW, SURROGATE, Refused, Server, as_json, check, lossy, spoken


@on_demand(unit="1", expect=ANYTHING)
def of_number(number: Float64) -> Float64:
    """The number."""
    return number


@on_demand(unit="1", expect=ANYTHING)
def of_integer(integer: Int64) -> Int64:
    """The integer."""
    return integer


@on_demand(unit="text", expect=ANYTHING)
def of_text(text: String) -> String:
    """The text."""
    return text


@on_demand(unit="flag", expect=ANYTHING)
def of_flag(flag: Bool) -> Bool:
    """The flag."""
    return flag


@on_demand(unit="microseconds since 1970", expect=ANYTHING)
def of_moment(moment: UnixTimestamp) -> Int64:
    """The moment."""
    return moment.cast(pa.int64())


FIELDS: dict[str, tuple[FeastType, Any]] = {
    "number": (FeastFloat64, of_number),
    "integer": (FeastInt64, of_integer),
    "text": (FeastString, of_text),
    "flag": (FeastBool, of_flag),
    "moment": (FeastUnixTimestamp, of_moment),
}


def micros(*moment: int) -> int:
    return int((datetime(*moment, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()) * 1_000_000


def holds(kind: str, dtype: FeastType, example: str = "") -> Refused:
    return Refused(f"is declared {dtype}, but holds {kind}{example}")


TEN = micros(2024, 5, 1, 10)
REQUESTS: list[tuple[str, Any, str | None, Any]] = [
    ("number", 1.5, "1.5::DOUBLE", 1.5),
    ("number", 1, "1", 1.0),
    ("number", np.float32(0.1), "0.1::FLOAT", 0.10000000149011612),
    ("number", Decimal("0.35"), "0.35::DECIMAL(9, 2)", 0.35),
    ("number", -0.0, "'-0'::DOUBLE", -0.0),
    ("number", 5e-324, "5e-324::DOUBLE", 5e-324),
    ("number", INFINITY, "'inf'::DOUBLE", INFINITY),
    ("number", NAN, "'nan'::DOUBLE", None),
    ("number", None, "NULL", None),
    ("number", pd.NA, None, None),
    ("number", 2**53, "9007199254740992", 2.0**53),
    ("number", 2**53 + 1, "9007199254740993", Refused(lossy(2**53 + 1, FeastFloat64))),
    ("number", 2**70, "1180591620717411303424::HUGEINT", 2.0**70),
    ("number", 10**60, None, Refused(lossy(10**60, FeastFloat64))),
    ("number", True, "true", holds("bool", FeastFloat64, " such as True")),
    ("number", "1.5", "'1.5'", holds("string", FeastFloat64, " such as '1.5'")),
    ("number", [1.5], "[1.5::DOUBLE]", holds("list", FeastFloat64)),
    ("integer", 2**63 - 1, "9223372036854775807", 2**63 - 1),
    ("integer", -(2**63), "(-9223372036854775808)::BIGINT", -(2**63)),
    ("integer", 2**63, "9223372036854775808::UBIGINT", Refused(lossy(2**63, FeastInt64))),
    ("integer", 2**70, "1180591620717411303424::HUGEINT", Refused(lossy(2**70, FeastInt64))),
    ("integer", 1.0, "1.0::DOUBLE", 1),
    ("integer", 1.5, "1.5::DOUBLE", Refused(lossy(1.5, FeastInt64))),
    ("integer", 2.0**53, "9007199254740992::DOUBLE", 2**53),
    ("integer", NAN, "'nan'::DOUBLE", None),
    ("integer", True, "true", holds("bool", FeastInt64, " such as True")),
    ("integer", "1", "'1'", holds("string", FeastInt64, " such as '1'")),
    ("text", "é\n", "'é' || chr(10)", "é\n"),
    ("text", "", "''", ""),
    ("text", "a\0b", None, "a\0b"),
    ("text", "x" * 100_000, "repeat('x', 100000)", "x" * 100_000),
    ("text", NAN, "'nan'::DOUBLE", None),
    ("text", 1, "1", holds("int", FeastString)),
    ("text", b"a", "'a'::BLOB", holds("binary", FeastString, " such as b'a'")),
    ("text", "\ud800", None, Refused(SURROGATE)),
    ("flag", True, "true", True),
    ("flag", 0, "0", False),
    ("flag", 2, "2", Refused("is declared Bool, but row 0 holds 2, which is neither 0 nor 1")),
    ("flag", 1.0, "1.0::DOUBLE", holds("double", FeastBool, " such as 1.0")),
    ("flag", "true", "'true'", holds("string", FeastBool, " such as 'true'")),
    ("moment", datetime(2024, 5, 1, 10, tzinfo=UTC), "TIMESTAMPTZ '2024-05-01 10:00:00+00'", TEN),
    ("moment", datetime(2024, 5, 1, 10), "TIMESTAMP '2024-05-01 10:00:00'", TEN),
    ("moment", "2024-05-01T12:00:00+02:00", "'2024-05-01T12:00:00+02:00'", TEN),
    ("moment", "2024-05-01T10:00:00", "'2024-05-01T10:00:00'", TEN),
    ("moment", date(2024, 5, 1), "DATE '2024-05-01'", micros(2024, 5, 1)),
    (
        "moment",
        "9999-12-31T23:59:59.999999Z",
        "TIMESTAMP '9999-12-31 23:59:59.999999'",
        micros(10_000 - 1, 12, 31) + 86_399_999_999,
    ),
    ("moment", pd.NaT, None, None),
    ("moment", np.datetime64("NaT"), None, None),
    ("moment", pd.Timestamp("2024-05-01 10:00"), None, TEN),
    (
        "moment",
        pd.Timestamp("2024-05-01 10:00:00.000000001"),
        None,
        Refused("is declared UnixTimestamp, but row 0 holds"),
    ),
    ("moment", pd.Timestamp.min, None, Refused("is declared UnixTimestamp, but row 0 holds '1677-09-21")),
    ("moment", np.datetime64(10**18, "us"), None, Refused("is declared UnixTimestamp, but row 0 holds '33658-09-27")),
    (
        "moment",
        "10000-01-01T00:00:00Z",
        "'10000-01-01T00:00:00Z'",
        Refused(lossy("'10000-01-01T00:00:00Z'", FeastUnixTimestamp)),
    ),
    ("moment", "2024-05-01", "'2024-05-01'", micros(2024, 5, 1)),
    ("moment", "2024-05-01 10:00:00.000000000", "'2024-05-01 10:00:00.000000000'", TEN),
    ("moment", "2024-05-01 10:00:00.123456789", None, Refused("is declared UnixTimestamp, but row 0 holds")),
    ("moment", "20240501", "'20240501'", Refused(lossy("'20240501'", FeastUnixTimestamp))),
    ("moment", "2024-W18-3", "'2024-W18-3'", Refused(lossy("'2024-W18-3'", FeastUnixTimestamp))),
    ("moment", "2024-05-01x10:00", None, Refused(lossy("'2024-05-01x10:00'", FeastUnixTimestamp))),
    ("moment", "2024-05-01 10:00:00,5", None, Refused(lossy("'2024-05-01 10:00:00,5'", FeastUnixTimestamp))),
    ("moment", "noon", "'noon'", Refused(lossy("'noon'", FeastUnixTimestamp))),
    ("moment", "epoch", "'epoch'", Refused(lossy("'epoch'", FeastUnixTimestamp))),
    (
        "moment",
        "2024-05-01 01:30:00 PM",
        "'2024-05-01 01:30:00 PM'",
        Refused("is declared UnixTimestamp, but row 0 holds"),
    ),
    ("moment", 1_714_557_600, "1714557600", holds("int", FeastUnixTimestamp)),
]


@pytest.fixture
def asked(served: Callable[..., tuple[FeatureStore, Server]]) -> tuple[FeatureStore, Server]:
    """A store with a view for each field, which gives the field back."""
    views: list[OnDemandFeatureView] = []
    for name, (dtype, function) in FIELDS.items():
        source = RequestSource(name=f"{name}_request", schema=[Field(name=name, dtype=dtype)])
        views.append(on_demand_view(f"v_{name}", [function], sources=[source], owner="me", description="The field"))
    return served(*views)


def paths_of_a_field(
    store: FeatureStore, server: Server, field: str, value: Any, sql: str | None, expected: Any
) -> dict[str, Callable[[], Any]]:
    """Every way to give this field."""
    feature = f"v_{field}:of_{field}"
    column = pd.Series([value], dtype=object)

    def trained(spine: Any) -> Any:
        return store.get_historical_features(spine, [feature]).to_arrow()[f"of_{field}"][0].as_py()

    def looked_up(rows: int) -> Any:
        return store.get_online_features([feature], [{field: value}] * rows).to_dict()[f"of_{field}"][-1]

    paths = {
        "pandas": lambda: trained(pd.DataFrame({field: column, "event_timestamp": [NOW]})),
        "pandas' own dtype": lambda: trained(pd.DataFrame({field: pd.Series([value]), "event_timestamp": [NOW]})),
        "sql": lambda: trained(f"SELECT {sql} AS {field}, TIMESTAMP '2024-05-09 10:00:00' AS event_timestamp"),
        "sdk": lambda: looked_up(1),
        "many rows": lambda: looked_up(25),
        "async": lambda: server.get_async(feature, **{field: value}),
        "http": lambda: spoken(server.get(feature, **{field: value}), expected),
    }
    left_out = ({"sql"} if sql is None else set()) | (set() if as_json(value) else {"http"})
    return {name: call for name, call in paths.items() if name not in left_out}


@pytest.mark.proof
def test_a_request_field_is_the_same_on_every_path_or_refused(asked: tuple[FeatureStore, Server]) -> None:
    faults: list[str] = []
    for field, value, sql, expected in REQUESTS:
        faults += check(paths_of_a_field(*asked, field, value, sql, expected), expected, (field, value))
    assert faults == []
