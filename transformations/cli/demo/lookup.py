"""The demo's online lookup: every household as if it stood at the checkout, compared with training. Plain Feast."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from transformations.contracts import read_contract
from transformations.engine.base.settings import Settings
from transformations.engine.raw.zone import RawTable, read_current

if TYPE_CHECKING:
    import pyarrow as pa
    from feast import FeatureStore

SERVICE = "coupon_response_v1"


def look_up(store: FeatureStore, requests: pa.Table) -> dict[str, list[object]]:
    """One online request for all rows: who stands at the checkout, and what the basket is worth."""
    response: dict[str, list[object]] = store.get_online_features(
        features=store.get_feature_service(SERVICE),
        entity_rows=requests.to_pylist(),  # such as {"household_id": 1, "basket_value": 25.0}
    ).to_dict()
    return response


def all_households(settings: Settings) -> pa.Table:
    """Every household that ever shopped, each with a basket of some value: household_id, basket_value."""
    contract = read_contract("transactions", settings.contracts)
    lines = read_current(RawTable(contract, settings.raw_dir).snapshot(), contract, ["household_id"])
    households = pc.unique(lines["household_id"]).sort()
    baskets = pa.array([10.0 + household % 90 for household in households.to_pylist()], pa.float64())
    return pa.table({"household_id": households, "basket_value": baskets})
