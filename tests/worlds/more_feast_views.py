"""More on-demand views in the manner of public repositories, for the rows of `feast_views.ROWS`.

Those of `REFUSED` declare another dtype than what their function returns for Feast's sample of its inputs: Feast's own
`apply` refuses them, whatever the stores.
"""

import hashlib
import json
import re
from typing import Any

import numpy as np
import pandas as pd
from feast import Field
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Array, Bool, Float64, Int64, String

from tests.worlds.feast_views import asked, driver, drivers, homes, shape

NIGHTS = {range(5): "night", range(5, 18): "day"}
LAST_WORD = re.compile(r"(\w+)$")
REFUSED: dict[str, Any] = {}


def refused(dtype: Any, *sources: Any, **more: Any) -> Any:
    """A view of one feature, called as its function is, that Feast's `apply` refuses for its dtype."""

    def declare(function: Any) -> Any:
        name = function.__name__
        decorate = on_demand_feature_view(
            name=f"of_{name}", sources=[*sources] or [drivers], schema=[Field(name=name, dtype=dtype)], **more
        )
        REFUSED[name] = decorate(function)
        return REFUSED[name]

    return declare


def part_of_day(hour: int) -> str:
    return next((name for hours, name in NIGHTS.items() if hour in hours), "evening")


class Scaler:
    """As one is kept beside a model."""

    def __init__(self, mean: float, scale: float) -> None:
        self.mean, self.scale = mean, scale

    def transform(self, values: Any) -> Any:
        return (values - self.mean) / self.scale


SCALER = Scaler(50.0, 25.0)


# Mode pandas


@shape(Float64, [2.0, 0.0, -2.0, -1.6], drivers, asked, mode="pandas")
def scales_by_an_object_of_its_module(inputs: pd.DataFrame) -> pd.DataFrame:
    df = pd.DataFrame()
    df["scales_by_an_object_of_its_module"] = SCALER.transform(inputs["amount"])
    return df


@shape(Int64, [2, -1, 1, -1], mode="pandas")
def day_of_the_week(inputs: pd.DataFrame) -> pd.DataFrame:
    df = pd.DataFrame()
    df["day_of_the_week"] = pd.to_datetime(inputs["seen_at"], utc=True).dt.dayofweek.fillna(-1).astype("int64")
    return df


@shape(Float64, [30.0, None, 31.0, None], mode="pandas")
def days_until_a_day(inputs: pd.DataFrame) -> pd.DataFrame:
    since = pd.Timestamp("2024-06-01", tz="UTC") - inputs["seen_at"]
    return pd.DataFrame({"days_until_a_day": since.dt.days.astype("float64")})


@shape(Float64, [60.0, 50.0, 10.0, 10.0], asked, mode="pandas")
def clips(inputs: pd.DataFrame) -> pd.DataFrame:
    return inputs[["amount"]].clip(lower=10.0, upper=60.0).rename(columns={"amount": "clips"})


@shape(String, ["night", "evening", "night", "day"], asked, mode="pandas")
def selects_by_conditions(inputs: pd.DataFrame) -> pd.DataFrame:
    df = pd.DataFrame()
    conditions = [inputs["hour"] < 4, inputs["hour"] < 18]
    df["selects_by_conditions"] = np.select(conditions, ["night", "day"], default="evening")
    return df


@shape(String, ["Lee", None, "bo", None], mode="pandas")
def extracts_by_a_pattern(inputs: pd.DataFrame) -> pd.DataFrame:
    df = pd.DataFrame()
    df["extracts_by_a_pattern"] = inputs["name"].str.extract(LAST_WORD, expand=False)
    return df


@shape(String, ["Ann Lee_1", "_23", "bo_3", "_4"], drivers, asked, mode="pandas")
def joins_texts(inputs: pd.DataFrame) -> pd.DataFrame:
    df = pd.DataFrame()
    df["joins_texts"] = inputs["name"].fillna("") + "_" + inputs["hour"].astype(str)
    return df


@shape(Float64, [10.0, 0.0, 0.0, 0.0], drivers, asked, mode="pandas")
def divides_where_it_can(inputs: pd.DataFrame) -> pd.DataFrame:
    amounts, trips = inputs["amount"].to_numpy(), inputs["trips"].to_numpy(dtype="float64")
    quotient = np.divide(amounts, trips, out=np.zeros(len(inputs)), where=trips > 0)
    return pd.DataFrame({"divides_where_it_can": quotient}, index=inputs.index)


@shape(String, ["large", "large", "small", "small"], asked, mode="pandas")
def assigns_by_a_mask(inputs: pd.DataFrame) -> pd.DataFrame:
    df = pd.DataFrame(index=inputs.index)
    df["assigns_by_a_mask"] = "small"
    df.loc[inputs["amount"] > 20, "assigns_by_a_mask"] = "large"
    return df


@shape(Float64, [101.0, 73.0, 3.0, 14.0], asked, mode="pandas")
def iterates_over_rows(inputs: pd.DataFrame) -> pd.DataFrame:
    found = [row["amount"] + row["hour"] for _, row in inputs.iterrows()]
    return pd.DataFrame({"iterates_over_rows": found}, index=inputs.index)


# Mode python


@shape(Int64, [1, 2, 0, 0], homes, mode="python")
def looks_up_in_a_dictionary(inputs: dict[str, Any]) -> dict[str, Any]:
    numbers = {"Rome": 1, "Oslo": 2}
    return {"looks_up_in_a_dictionary": [numbers.get(city, 0) for city in inputs["city"]]}


@shape(String, [hashlib.md5(each).hexdigest()[:8] for each in (b"Ann Lee", b"", b"bo", b"")], mode="python")
def hashes_a_text(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"hashes_a_text": [hashlib.md5((name or "").encode()).hexdigest()[:8] for name in inputs["name"]]}


@shape(String, ["night", "evening", "night", "night"], asked, mode="python")
def calls_a_helper_with_a_constant(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"calls_a_helper_with_a_constant": list(map(part_of_day, inputs["hour"]))}


@shape(Array(Float64), [[1.5, 2.0], [], [4.0, 4.0], []], mode="python")
def mean_and_most_of_lists(inputs: dict[str, Any]) -> dict[str, Any]:
    found = [[float(np.mean(each)), float(np.max(each))] if each else [] for each in inputs["scores"]]
    return {"mean_and_most_of_lists": found}


@shape(
    String,
    ['{"hour": 1, "name": "Ann Lee"}', '{"hour": 23}', '{"hour": 3, "name": "bo"}', '{"hour": 4}'],
    drivers,
    asked,
    mode="python",
    singleton=True,
)
def singleton_of_json(inputs: dict[str, Any]) -> dict[str, Any]:
    told = {name: inputs[name] for name in ("hour", "name") if inputs[name] is not None}
    return {"singleton_of_json": json.dumps(told)}


@shape(Bool, [True, False, True, False], mode="python", write_to_online_store=True, entities=[driver])
def flag_computed_when_written(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"flag_computed_when_written": [(rate or 0.0) > 0.5 or bool(on) for rate, on in _pairs(inputs)]}


@shape(Float64, [20.0, None, 0.0, None], mode="python", write_to_online_store=True, entities=[driver])
def takes_no_nulls_computed_when_written(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"takes_no_nulls_computed_when_written": [2.0 * trips for trips in inputs["trips"]]}


def _pairs(inputs: dict[str, Any]) -> Any:
    return zip(inputs["acc_rate"], inputs["active"], strict=True)


# Refused by Feast


@refused(Int64, drivers, asked, mode="pandas")
def quotient_declared_integer(inputs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"quotient_declared_integer": inputs["amount"] / 2})


@refused(Bool, asked, mode="pandas")
def integer_declared_flag(inputs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"integer_declared_flag": (inputs["hour"] > 5).astype("int64")})


@refused(String, asked, mode="python")
def integer_declared_text(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"integer_declared_text": [hour + 1 for hour in inputs["hour"]]}


@refused(Float64, asked, mode="python")
def text_declared_number(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"text_declared_number": [f"{hour:02d}" for hour in inputs["hour"]]}
