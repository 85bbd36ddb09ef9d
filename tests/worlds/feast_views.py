"""On-demand views as Feast's users write them, each with the values that it has for the rows of `ROWS`.

What functions use of this module (imports, constants, helpers) is part of the shapes: Feast executes a function's text
alone.
"""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from feast import Entity, FeatureView, Field, FileSource, RequestSource, ValueType
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Array, Bool, Float32, Float64, Int64, String, UnixTimestamp

TIMESTAMP = pa.timestamp("us", "UTC")
WHEN = datetime(2024, 5, 1, tzinfo=UTC)
HALF = 0.5
CITIES = {"Rome": 1, "Oslo": 2}

DRIVERS = pa.table(
    {
        "driver_id": pa.array([1, 2, 3], pa.int64()),
        "event_timestamp": pa.array([WHEN] * 3, TIMESTAMP),
        "created": pa.array([WHEN] * 3, TIMESTAMP),
        "conv_rate": pa.array([0.5, 0.75, None], pa.float32()),
        "acc_rate": pa.array([0.25, None, 1.0], pa.float64()),
        "trips": pa.array([10, None, 0], pa.int64()),
        "name": pa.array(["Ann Lee", None, "bo"]),
        "active": pa.array([True, None, False]),
        "seen_at": pa.array([WHEN + timedelta(hours=6), None, WHEN - timedelta(hours=6)], TIMESTAMP),
        "scores": pa.array([[1.0, 2.0], None, [4.0]], pa.list_(pa.float64())),
    }
)
HOMES = pa.table(
    {
        "driver_id": pa.array([1, 2, 3], pa.int64()),
        "event_timestamp": pa.array([WHEN] * 3, TIMESTAMP),
        "created": pa.array([WHEN] * 3, TIMESTAMP),
        "city": pa.array(["Rome", "Oslo", None]),
        "acc_rate": pa.array([2.0, 4.0, 8.0], pa.float64()),
    }
)
ROWS = [  # of a request, the last for a driver that nobody knows
    {"driver_id": 1, "amount": 100.0, "hour": 1},
    {"driver_id": 2, "amount": 50.0, "hour": 23},
    {"driver_id": 3, "amount": 0.0, "hour": 3},
    {"driver_id": 9, "amount": 10.0, "hour": 4},
]

driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)


def _view(view: str, **dtypes: Any) -> FeatureView:
    source = FileSource(
        name=view,
        path=f"{view}.parquet",
        timestamp_field="event_timestamp",
        created_timestamp_column="created",
    )
    fields = [Field(name="driver_id", dtype=Int64), *(Field(name=each, dtype=dtype) for each, dtype in dtypes.items())]
    return FeatureView(name=view, entities=[driver], schema=fields, source=source, ttl=timedelta(0))


drivers = _view(
    "drivers",
    conv_rate=Float32,
    acc_rate=Float64,
    trips=Int64,
    name=String,
    active=Bool,
    seen_at=UnixTimestamp,
    scores=Array(Float64),
)
homes = _view("homes", city=String, acc_rate=Float64)
asked = RequestSource(name="asked", schema=[Field(name="amount", dtype=Float64), Field(name="hour", dtype=Int64)])

EXPECTED: dict[str, list[Any]] = {}
VIEWS: dict[str, Any] = {}
"""The on-demand views, and their values for `ROWS`, by the name of their function; `more_feast_views` adds to them."""


def shape(dtype: Any, expected: list[Any], *sources: Any, **more: Any) -> Any:
    """A view of one feature, called as its function is. expected: its values for `ROWS`."""

    def declare(function: Any) -> Any:
        name = function.__name__
        EXPECTED[name] = expected
        decorate = on_demand_feature_view(
            name=f"of_{name}", sources=[*sources] or [drivers], schema=[Field(name=name, dtype=dtype)], **more
        )
        VIEWS[name] = decorate(function)
        return VIEWS[name]

    return declare


def half_of(value: float) -> float:
    return value * HALF


def distance(trips: Any, amount: Any) -> Any:
    return math.hypot(trips, amount)


# Mode pandas


@shape(Float64, [100.5, 50.75, None, None], drivers, asked)
def adds_to_a_new_frame(inputs: pd.DataFrame) -> pd.DataFrame:
    df = pd.DataFrame()
    df["adds_to_a_new_frame"] = inputs["conv_rate"].astype("float64") + inputs["amount"]
    return df


@shape(Float64, [10.0, None, 0.0, None], mode="pandas")
def keeps_the_index(inputs: pd.DataFrame) -> pd.DataFrame:
    df = pd.DataFrame(index=inputs.index)
    df["keeps_the_index"] = inputs["trips"] * 1.0
    return df


@shape(Float64, [200.0, 100.0, 0.0, 20.0], drivers, asked, mode="pandas")
def returns_its_input(inputs: pd.DataFrame) -> pd.DataFrame:
    inputs["returns_its_input"] = inputs["amount"] * 2
    return inputs


@shape(Int64, [20, None, 0, None], mode="pandas")
def doubles_an_integer(features_df: pd.DataFrame) -> pd.DataFrame:
    return features_df.assign(doubles_an_integer=features_df["trips"] * 2)[["doubles_an_integer"]]


@shape(String, ["10", "nan", "0", "nan"], mode="pandas")
def text_of_an_integer(inputs: pd.DataFrame) -> pd.DataFrame:
    return inputs[["trips"]].astype(str).rename(columns={"trips": "text_of_an_integer"})


@shape(Float64, [1.3, 1.0, 1.0, 1.0], drivers, asked, mode="pandas")
def chooses_by_numpy(inputs: pd.DataFrame) -> pd.DataFrame:
    df = pd.DataFrame()
    df["chooses_by_numpy"] = np.where(inputs["hour"] == 1, 1.3, 1.0)
    return df


@shape(Int64, [10, 0, 0, 0], mode="pandas")
def fills_and_casts(inputs: pd.DataFrame) -> pd.DataFrame:
    df = pd.DataFrame()
    df["fills_and_casts"] = inputs["trips"].fillna(0).astype(int)
    return df


@shape(Float64, [110.0, -1.0, 0.0, -1.0], drivers, asked, mode="pandas")
def applies_to_rows(inputs: pd.DataFrame) -> pd.DataFrame:
    df = pd.DataFrame()
    df["applies_to_rows"] = inputs.apply(
        lambda row: -1.0 if pd.isna(row["trips"]) else float(row["trips"] + row["amount"]), axis=1
    )
    return df


@shape(Float64, [6.0, None, 18.0, None], mode="pandas")
def hour_of_a_moment(inputs: pd.DataFrame) -> pd.DataFrame:
    df = pd.DataFrame()
    df["hour_of_a_moment"] = inputs["seen_at"].dt.hour.astype("float64")
    return df


@shape(String, ["ANN LEE", None, "BO", None], mode="pandas")
def upper_case(inputs: pd.DataFrame) -> pd.DataFrame:
    df = pd.DataFrame()
    df["upper_case"] = inputs["name"].str.upper()
    return df


@shape(Float64, [7.0, None, 2.0, None], mode="pandas")
def length_of_a_text(inputs: pd.DataFrame) -> pd.DataFrame:
    df = pd.DataFrame()
    df["length_of_a_text"] = inputs["name"].str.len().astype("float64")
    return df


@shape(String, ["high", "low", "none", "low"], drivers, asked, mode="pandas")
def cuts_into_bins(inputs: pd.DataFrame) -> pd.DataFrame:
    df = pd.DataFrame()
    bins = [-np.inf, 0, 50, np.inf]
    df["cuts_into_bins"] = pd.cut(inputs["amount"], bins=bins, labels=["none", "low", "high"]).astype(str)
    return df


@shape(Float64, [10.0, None, None, None], drivers, asked, mode="pandas")
def divides_without_infinity(inputs: pd.DataFrame) -> pd.DataFrame:
    out = pd.DataFrame()
    out["divides_without_infinity"] = (inputs["amount"] / inputs["trips"]).replace([np.inf, -np.inf], np.nan)
    return out


@shape(Float32, [2.0, 0.0, 0.0, 0.0], drivers, asked, mode="pandas")
def float32_out(inputs: pd.DataFrame) -> pd.DataFrame:
    df = pd.DataFrame()
    df["float32_out"] = (inputs["trips"].fillna(0) / 5).astype("float32")
    return df


@shape(Int64, [1, 0, 0, 0], mode="pandas")
def flag_as_integer(inputs: pd.DataFrame) -> pd.DataFrame:
    df = pd.DataFrame()
    df["flag_as_integer"] = (inputs["trips"] > 5).astype("int64")
    return df


@shape(Bool, [True, False, True, True], drivers, asked, mode="pandas")
def between_hours(inputs: pd.DataFrame) -> pd.DataFrame:
    out = pd.DataFrame()
    out["between_hours"] = inputs["hour"].between(0, 5)
    return out


@shape(Float64, [math.log(101), math.log(51), 0.0, math.log(11)], asked, mode="pandas")
def of_the_request_alone(inputs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"of_the_request_alone": np.log1p(inputs["amount"])})


@shape(Float64, [1.0, 2.0, 0.0, 0.0], homes, mode="pandas")
def maps_by_a_constant(inputs: pd.DataFrame) -> pd.DataFrame:
    df = pd.DataFrame()
    df["maps_by_a_constant"] = inputs["city"].map(CITIES).fillna(0).astype("float64")
    return df


@shape(Float64, [50.0, 25.0, 0.0, 5.0], drivers, asked, mode="pandas")
def calls_a_helper(inputs: pd.DataFrame) -> pd.DataFrame:
    df = pd.DataFrame()
    df["calls_a_helper"] = inputs["amount"].apply(half_of)
    return df


@shape(Float64, [math.hypot(10, 100), 50.0, 0.0, 10.0], drivers, asked, mode="pandas")
def zips_columns(inputs: pd.DataFrame) -> pd.DataFrame:
    df = pd.DataFrame()
    pairs = zip(inputs["trips"].fillna(0), inputs["amount"], strict=True)
    df["zips_columns"] = [distance(trips, amount) for trips, amount in pairs]
    return df


@shape(Float64, [2.25, None, 9.0, None], drivers, homes, mode="pandas")
def full_names_of_two_views(inputs: pd.DataFrame) -> pd.DataFrame:
    df = pd.DataFrame()
    df["full_names_of_two_views"] = inputs["drivers__acc_rate"] + inputs["homes__acc_rate"]
    return df


@shape(Float64, [1.0, 1.0, 1.0, 1.0], mode="pandas")
def one_for_all(inputs: pd.DataFrame) -> pd.DataFrame:
    df = pd.DataFrame(index=inputs.index)
    df["one_for_all"] = 1.0
    return df


@shape(Float64, [100.0, 50.0, 0.0, 10.0], drivers, asked, mode="pandas")
def sorts_its_rows(inputs: pd.DataFrame) -> pd.DataFrame:
    df = inputs.sort_values("amount")
    df["sorts_its_rows"] = df["amount"]
    return df[["sorts_its_rows"]]


@shape(Float64, [101.0, 51.0, 1.0, 11.0], asked, mode="pandas")
def by_position(inputs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"by_position": [value + 1 for value in inputs.values[:, 0]]})


@shape(Array(Float64), [[100.0, 1.0], [50.0, 23.0], [0.0, 3.0], [10.0, 4.0]], asked, mode="pandas")
def makes_lists(inputs: pd.DataFrame) -> pd.DataFrame:
    df = pd.DataFrame()
    df["makes_lists"] = inputs.apply(lambda row: [float(row["amount"]), float(row["hour"])], axis=1)
    return df


@shape(Float64, [3.0, 0.0, 4.0, 0.0], mode="pandas")
def sums_lists(inputs: pd.DataFrame) -> pd.DataFrame:
    df = pd.DataFrame()
    df["sums_lists"] = inputs["scores"].apply(lambda each: 0.0 if each is None else float(sum(each)))
    return df


@shape(Bool, [True, False, False, False], mode="pandas")
def flag_of_a_flag(inputs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"flag_of_a_flag": [value is not None and bool(value) for value in inputs["active"]]})


@shape(UnixTimestamp, [WHEN + timedelta(days=1, hours=6), None, WHEN + timedelta(hours=18), None], mode="pandas")
def a_day_later(inputs: pd.DataFrame) -> pd.DataFrame:
    df = pd.DataFrame()
    df["a_day_later"] = inputs["seen_at"] + timedelta(days=1)
    return df


@shape(Int64, [10, 0, 0, 0], mode="pandas")
def nullable_integers(inputs: pd.DataFrame) -> pd.DataFrame:
    df = pd.DataFrame()
    df["nullable_integers"] = inputs["trips"].astype("Int64").fillna(0).astype("int64")
    return df


@shape(Float64, [20.0, 0.0, 0.0, 0.0], mode="pandas", write_to_online_store=True, entities=[driver])
def computed_when_written(inputs: pd.DataFrame) -> pd.DataFrame:
    df = pd.DataFrame()
    df["computed_when_written"] = inputs["trips"].fillna(0) * 2.0
    return df


# Mode python


@shape(Float64, [100.5, 50.75, None, None], drivers, asked, mode="python")
def lists(inputs: dict[str, Any]) -> dict[str, Any]:
    pairs = zip(inputs["conv_rate"], inputs["amount"], strict=True)
    return {"lists": [None if rate is None else rate + amount for rate, amount in pairs]}


@shape(Int64, [20, 0, 0, 0], mode="python")
def lists_by_full_name(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"lists_by_full_name": [(trips or 0) * 2 for trips in inputs["drivers__trips"]]}


@shape(Float64, [21_600.0, None, -21_600.0, None], mode="python")
def uses_imports_of_its_module(inputs: dict[str, Any]) -> dict[str, Any]:
    since = datetime(2024, 5, 1, tzinfo=UTC)
    moments = inputs["seen_at"]
    return {"uses_imports_of_its_module": [each and (each - since) / timedelta(seconds=1) for each in moments]}


@shape(Float64, [50.0, 25.0, 0.0, 5.0], asked, mode="python")
def calls_a_helper_for_lists(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"calls_a_helper_for_lists": [half_of(amount) for amount in inputs["amount"]]}


@shape(Float64, [101.0, 51.0, 1.0, 11.0], asked, mode="python")
def returns_a_scalar(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"returns_a_scalar": inputs["amount"][0] + 1}


@shape(Float64, [102.0, 52.0, 2.0, 12.0], asked, mode="python")
def returns_one_in_a_list(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"returns_one_in_a_list": [inputs["amount"][0] + 2]}


@shape(Float64, [110.0, 50.0, 0.0, 10.0], drivers, asked, mode="python", singleton=True)
def singleton(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"singleton": inputs["amount"] + (inputs["trips"] or 0)}


@shape(String, ["Ann", "?", "bo", "?"], mode="python", singleton=True)
def singleton_of_text(inputs: dict[str, Any]) -> dict[str, Any]:
    name = inputs["name"]
    return {"singleton_of_text": name.split()[0] if name else "?"}


@shape(Array(Float64), [[2.0, 4.0], [], [8.0], []], mode="python", singleton=True)
def singleton_of_lists(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"singleton_of_lists": [[2 * each for each in inputs["scores"] or []]]}


@shape(Float64, [1_000.0, 500.0, 0.0, 100.0], asked, mode="python")
def returns_an_array(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"returns_an_array": (np.array(inputs["amount"]) * 10).tolist()}


@shape(Bool, [True, False, False, False], mode="python")
def flags(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"flags": [bool(active) for active in inputs["active"]]}


@shape(Float64, [0.1, 0.0, 0.0, 0.0], drivers, asked, mode="python")
def tries(inputs: dict[str, Any]) -> dict[str, Any]:
    output: dict[str, list[Any]] = {"tries": []}
    for trips, amount in zip(inputs["trips"], inputs["amount"], strict=True):
        try:
            output["tries"].append(trips / amount)
        except (TypeError, ZeroDivisionError):
            output["tries"].append(0.0)
    return output


@shape(Float64, [20.0, 0.0, 0.0, 0.0], mode="python", write_to_online_store=True, entities=[driver])
def lists_computed_when_written(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"lists_computed_when_written": [2.0 * (trips or 0) for trips in inputs["trips"]]}
