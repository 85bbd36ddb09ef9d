"""Extreme keys and stored values on every path: the same value, or the same refusal.

A table for each kind of input: its rows are inputs with what is expected, its columns the paths.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureStore, FeatureView
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage
from feast.types import (
    Array,
    Bool,
    FeastType,
    Float32,
    Float64,
    Int32,
    Int64,
    Json,
    Map,
    Set,
    String,
    Struct,
    UnixTimestamp,
)

from .extremes import (
    DAY,
    IN_MILLISECONDS,
    INFINITY,
    NAN,
    NOW,
    SURROGATE,
    TIMESTAMP,
    YEARS,
    Refused,
    Server,
    as_json,
    check,
    lossy,
    spoken,
)

KEYS: list[tuple[str, Any, str | None, Any]] = [
    ("user_id", 1, "1", 10.0),
    ("user_id", 1.0, "1.0::DOUBLE", 10.0),
    ("user_id", Decimal("1.00"), "1.00::DECIMAL(9, 2)", 10.0),
    ("user_id", np.int64(1), "1::HUGEINT", 10.0),
    ("user_id", -0.0, "'-0'::DOUBLE", 0.0),
    ("user_id", 2**63 - 1, "9223372036854775807", 9.0),
    ("user_id", -(2**63), "(-9223372036854775808)::BIGINT", 8.0),
    ("user_id", None, "NULL", None),
    ("user_id", NAN, "'nan'::DOUBLE", None),
    ("user_id", pd.NaT, None, None),
    ("user_id", pd.NA, None, None),
    ("user_id", 404, "404", None),
    ("user_id", 2**63, "9223372036854775808::UBIGINT", Refused(lossy(2**63, Int64))),
    ("user_id", np.uint64(2**63), None, Refused(lossy(2**63, Int64))),
    ("user_id", 2**70, "1180591620717411303424::HUGEINT", Refused(lossy(2**70, Int64))),
    ("user_id", -(2**63) - 1, "(-9223372036854775809)::HUGEINT", Refused(lossy(-(2**63) - 1, Int64))),
    ("user_id", 10**60, None, Refused(lossy(10**60, Int64))),
    ("user_id", 1.5, "1.5::DOUBLE", Refused(lossy(1.5, Int64))),
    ("user_id", INFINITY, "'inf'::DOUBLE", Refused(lossy("inf", Int64))),
    ("user_id", True, "true", Refused("is declared Int64, but holds bool such as True.")),
    ("user_id", "1", "'1'", 10.0),
    ("user_id", "01", "'01'", Refused("is declared Int64, but holds string such as '01'.")),
    ("user_id", "9223372036854775808", None, Refused("is declared Int64, but ")),
    ("user_id", "\ud800", None, Refused(SURROGATE)),
    ("user_id", [1], "[1]", Refused("is declared Int64, but holds list")),
    ("shop_id", "a", "'a'", 1.0),
    ("shop_id", "", "''", 2.0),
    ("shop_id", "é{,}%\n", "'é{,}%' || chr(10)", 3.0),
    ("shop_id", "e\u0301{,}%\n", None, None),
    ("shop_id", "x" * 100_000, "repeat('x', 100000)", None),
    ("shop_id", NAN, "'nan'::DOUBLE", None),
    ("shop_id", 7, "7", 4.0),
    ("shop_id", 7.0, "7.0::DOUBLE", Refused("is declared String, but holds double such as 7.0.")),
    ("shop_id", True, "true", Refused("is declared String, but holds bool such as True.")),
    ("shop_id", b"a", "'a'::BLOB", Refused("is declared String, but holds binary such as b'a'.")),
    ("shop_id", "\ud800", None, Refused(SURROGATE)),
]


def paths_of_a_key(
    store: FeatureStore, server: Server, key: str, value: Any, sql: str | None, is_refused: bool
) -> dict[str, Callable[[], Any]]:
    """Every way to look up by this key, and where it is no key, every way to push."""
    view = "n" if key == "user_id" else "t"
    feature = f"{view}:x"
    frame = pd.DataFrame({key: pd.Series([value], dtype=object), "event_timestamp": [NOW]})
    query = f"SELECT {sql} AS {key}, TIMESTAMP '2024-05-09 10:00:00' AS event_timestamp"
    pushed = {key: value, "x": 7.0, "event_timestamp": DAY.isoformat(), "created_timestamp": DAY.isoformat()}
    one = pd.DataFrame({name: pd.Series([each], dtype=object) for name, each in pushed.items()})

    def trained(spine: Any) -> Any:
        return store.get_historical_features(spine, [feature]).to_arrow()["x"][0].as_py()

    def looked_up(rows: int) -> Any:
        response = store.get_online_features([feature], [{key: value}] * rows)
        assert len(response.proto.results) == 2
        return response.to_dict()["x"][-1]

    paths = {
        "pandas": lambda: trained(frame),
        "pandas' own dtype": lambda: trained(frame.assign(**{key: pd.Series([value])})),
        "sql": lambda: trained(query),
        "sdk": lambda: looked_up(1),
        "many rows": lambda: looked_up(25),
        "async": lambda: server.get_async(feature, **{key: value}),
        "http": lambda: server.get(feature, **{key: value}),
        "write": lambda: store.write_to_online_store(view, one),
        "push": lambda: server.push(view, pushed),
    }
    left_out = {"sql"} if sql is None else set()
    left_out |= set() if as_json(value) else {"http", "push"}
    left_out |= set() if is_refused else {"write", "push"}
    return {name: call for name, call in paths.items() if name not in left_out}


def test_a_join_key_finds_its_row_or_is_refused_on_every_path(
    served: Callable[..., tuple[FeatureStore, Server]], view_of: Callable[..., FeatureView], user: Entity, shop: Entity
) -> None:
    numbers = view_of("n", user, pa.array([1, 0, 2**63 - 1, -(2**63)]), Float64, pa.array([10.0, 0.0, 9.0, 8.0]))
    texts = view_of("t", shop, pa.array(["a", "", "é{,}%\n", "7"]), Float64, pa.array([1.0, 2.0, 3.0, 4.0]))
    store, server = served(user, shop, numbers, texts)
    store.materialize(datetime(1970, 1, 1), NOW)
    faults: list[str] = []
    for key, value, sql, expected in KEYS:
        paths = paths_of_a_key(store, server, key, value, sql, isinstance(expected, Refused))
        faults += check(paths, expected, value)
    assert faults == []


MICROS = datetime(2024, 1, 1, 1, 1, 1, 999_999, tzinfo=UTC)
SECOND = datetime(2024, 1, 1, 1, 1, 1, tzinfo=UTC)
TENTH = 0.10000000149011612
STRUCT = Struct({"a": Float32, "t": UnixTimestamp})
NULL_IN_LIST = "with a null in it, which no list of Feast's protobuf can carry. Leave out nulls in lists"
FEATURES: list[tuple[FeastType, pa.Array, Any]] = [
    (Float64, pa.array([INFINITY]), INFINITY),
    (Float64, pa.array([-0.0]), -0.0),
    (Float64, pa.array([Decimal("0.35")]), 0.35),
    (Float64, pa.array([Decimal(2**70)]), float(2**70)),
    (Float64, pa.array([Decimal(2**53 + 1)]), Refused(lossy(2**53 + 1, Float64))),
    (Float32, pa.array([1e300]), Refused(lossy("1e+300", Float32))),
    (Int64, pa.array([2**63], pa.uint64()), Refused(lossy(2**63, Int64))),
    (UnixTimestamp, pa.array([MICROS], TIMESTAMP), SECOND),
    (UnixTimestamp, pa.array([pd.Timestamp.min]), datetime(1677, 9, 21, 0, 12, 43, tzinfo=UTC)),
    (
        UnixTimestamp,
        pa.array([datetime(9999, 12, 31, 23, 59, 59, 999_999)]),
        datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC),
    ),
    (UnixTimestamp, pa.array([-62_135_596_800_000_000], TIMESTAMP), datetime(1, 1, 1, tzinfo=UTC)),
    (
        UnixTimestamp,
        pa.array([IN_MILLISECONDS], TIMESTAMP),
        Refused(f"is declared UnixTimestamp, but row 0 holds '56301-12-10T08:00:00.000000', {YEARS}"),
    ),
    (
        UnixTimestamp,
        pa.array([-62_135_596_800_000_001], TIMESTAMP),
        Refused(f"is declared UnixTimestamp, but row 0 holds '0000-12-31T23:59:59.999999', {YEARS}"),
    ),
    (Array(Float32), pa.array([[0.1, None, NAN, INFINITY]]), [TENTH, NAN, NAN, INFINITY]),
    (Array(Float32), pa.array([[]], pa.list_(pa.float32())), []),
    (Array(Float32), pa.array([None], pa.list_(pa.float32())), None),
    (Array(Float32), pa.array([[0.1, 0.1]], pa.list_(pa.float64(), 2)), [TENTH, TENTH]),
    (Array(Float32), pa.array([[1e300]]), Refused(lossy("[1e+300]", Array(Float32)))),
    (Array(Float64), pa.array([[Decimal("0.35")]]), [0.35]),
    (Array(Float64), pa.array([[2**53 + 1]]), Refused(lossy([2**53 + 1], Array(Float64)))),
    (Array(Int64), pa.array([[1.0, 2.0]]), [1, 2]),
    (
        Array(Int64),
        pa.array([[1, None]]),
        Refused(f"is declared Array(Int64), but row 0 holds [1, None], {NULL_IN_LIST}"),
    ),
    (
        Array(Int64),
        pa.array([[1.0, NAN]]),
        Refused(f"is declared Array(Int64), but row 0 holds [1.0, nan], {NULL_IN_LIST}"),
    ),
    (Array(Int32), pa.array([[2**40]]), Refused(lossy([2**40], Array(Int32)))),
    (Array(String), pa.array([["a", ""]], pa.large_list(pa.large_string())), ["a", ""]),
    (
        Array(String),
        pa.array([["a", None]]),
        Refused(f"is declared Array(String), but row 0 holds ['a', None], {NULL_IN_LIST}"),
    ),
    (Array(String), pa.array([[1]]), Refused("is declared Array(String), but holds list<")),
    (Array(Bool), pa.array([[0, 1]]), [False, True]),
    (
        Array(Bool),
        pa.array([[0, 2]]),
        Refused("is declared Array(Bool), but row 0 holds [0, 2], which is neither 0 nor 1"),
    ),
    (Array(UnixTimestamp), pa.array([[MICROS]], pa.list_(TIMESTAMP)), [SECOND]),
    (Array(UnixTimestamp), pa.array([[MICROS.replace(tzinfo=None)]]), [SECOND]),
    (Array(UnixTimestamp), pa.array([[MICROS]], pa.list_(pa.timestamp("ns", "Europe/Berlin"))), [SECOND]),
    (
        Array(UnixTimestamp),
        pa.array([[datetime(1969, 12, 31, 23, 59, 59, 1)]]),
        [datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)],
    ),
    (Array(UnixTimestamp), pa.array([["2024-01-01T03:01:01.9+02:00"]]), [SECOND]),
    (Array(UnixTimestamp), pa.array([[date(2024, 1, 1)]]), [datetime(2024, 1, 1, tzinfo=UTC)]),
    (
        Array(UnixTimestamp),
        pa.array([[IN_MILLISECONDS]], pa.list_(TIMESTAMP)),
        Refused("is declared Array(UnixTimestamp), but row 0 holds"),
    ),
    (Array(Array(Float32)), pa.array([[[0.1, None], [2.0]]]), [[TENTH, NAN], [2.0]]),
    (Array(Array(UnixTimestamp)), pa.array([[[MICROS]]], pa.list_(pa.list_(TIMESTAMP))), [[SECOND]]),
    (Set(Float32), pa.array([[0.1, 0.1]]), [TENTH]),
    (Set(UnixTimestamp), pa.array([[MICROS, SECOND]], pa.list_(TIMESTAMP)), [SECOND]),
    (
        Set(String),
        pa.array([["a", None]]),
        Refused(f"is declared Set(String), but row 0 holds ['a', None], {NULL_IN_LIST}"),
    ),
    (Map, pa.array([[("a", 0.1), ("b", NAN)]], pa.map_(pa.string(), pa.float64())), {"a": 0.1, "b": None}),
    (Map, pa.array([[("a", MICROS)]], pa.map_(pa.string(), TIMESTAMP)), {"a": SECOND}),
    (
        Map,
        pa.array([[("a", 1), ("a", 2)]], pa.map_(pa.string(), pa.int64())),
        Refused("is declared Map, but row 0 holds"),
    ),
    (Array(Map), pa.array([[[("a", 1)]]], pa.list_(pa.map_(pa.string(), pa.int64()))), [{"a": 1}]),
    (
        STRUCT,
        pa.array([{"a": 0.1, "t": MICROS}], pa.struct({"a": pa.float64(), "t": TIMESTAMP})),
        {"a": TENTH, "t": SECOND},
    ),
    (Json, pa.array(["{a"]), Refused("is declared Json, but row 0 holds '{a', which Feast does not take for Json")),
]


@pytest.mark.proof
def test_a_stored_value_has_one_form_on_every_path_or_is_refused(
    served: Callable[..., tuple[FeatureStore, Server]], view_of: Callable[..., FeatureView], user: Entity, tmp_path: Any
) -> None:
    views = [view_of(f"v{at}", user, pa.array([1]), dtype, column) for at, (dtype, column, _) in enumerate(FEATURES)]
    store, server = served(user, *views)
    spine = pa.table({"user_id": [1], "event_timestamp": pa.array([NOW], TIMESTAMP)})
    features = [f"{view.name}:x" for view in views]
    accepted = [at for at, (_, _, expected) in enumerate(FEATURES) if not isinstance(expected, Refused)]
    store.materialize(datetime(1970, 1, 1), NOW, feature_views=[views[at].name for at in accepted])
    training = store.get_historical_features(spine, [features[at] for at in accepted], full_feature_names=True)
    training.persist(SavedDatasetFileStorage(str(tmp_path / "saved.parquet")))
    together, saved = training.to_arrow(), pq.read_table(tmp_path / "saved.parquet")

    def trained(feature: str) -> Any:
        job = store.get_historical_features(spine, [feature])
        return job.to_arrow()["x"].to_pylist(maps_as_pydicts="strict")[0]

    def paths(at: int, expected: Any) -> dict[str, Callable[[], Any]]:
        feature, name = features[at], f"{views[at].name}__x"
        if isinstance(expected, Refused):
            loaded = partial(store.materialize, datetime(1970, 1, 1), NOW, feature_views=[views[at].name])
            return {"training": lambda: trained(feature), "materialize": loaded}
        return {
            "training": lambda: together[name].to_pylist(maps_as_pydicts="strict")[0],
            "saved": lambda: saved[name].to_pylist(maps_as_pydicts="strict")[0],
            "sdk": lambda: store.get_online_features([feature], [{"user_id": 1}]).to_dict()["x"][0],
            "async": lambda: server.get_async(feature, user_id=1),
            "http": lambda: spoken(server.get(feature, user_id=1), expected),
        }

    faults: list[str] = []
    for at, (dtype, column, expected) in enumerate(FEATURES):
        faults += check(paths(at, expected), expected, (str(dtype), str(column)))
    assert faults == []
