"""The demo's training frame: checkouts, a label, and every feature as it was known at each of them. Plain Feast."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from transformations.contracts import read_contract
from transformations.engine.base.business_days import day_number, days_of_instants
from transformations.engine.base.errors import DataError
from transformations.engine.base.settings import Settings
from transformations.engine.base.storage import make_file, make_folder
from transformations.engine.identity.code_hash import hash_of_function
from transformations.engine.raw.zone import RawTable, read_current
from transformations.engine.tables.offline_tables import OfflineTable
from transformations.households import basket_vs_usual, days_since_trip

if TYPE_CHECKING:
    import pandas as pd

SERVICE = "coupon_response_v1"
LABEL = "redeems_coupon_28d"
LABEL_DAYS = 28
EVERY = 10  # every tenth checkout, in the order of time

_INPUTS = b"features.inputs"


@dataclass(frozen=True)
class TrainingFrame:
    """The frame, where it was saved, and how many checkouts were dropped because their label is not known yet."""

    rows: pd.DataFrame
    path: Path
    dropped: int
    labels_through: date


def training_frame(settings: Settings) -> TrainingFrame:
    """Sample checkouts, label them, join the service's features as of each checkout, and save the result."""
    from feast import FeatureStore

    checkouts = sample_checkouts(settings)
    labelled, through = label(checkouts, settings)
    store = FeatureStore(repo_path=str(settings.project_root / "feature_repo"))
    frame = store.get_historical_features(
        entity_df=labelled.drop(columns=LABEL),
        features=store.get_feature_service(SERVICE),
    ).to_df()
    frame[LABEL] = labelled[LABEL].to_numpy()  # rows come back in the order of the entity frame
    return TrainingFrame(frame, save(frame, settings), len(checkouts) - len(labelled), through)


def sample_checkouts(settings: Settings) -> pd.DataFrame:
    """Some baskets, always the same, newest first: household_id, event_timestamp (of the checkout), basket_value."""
    lines = _read_raw("transactions", ["household_id", "basket_id", "transaction_timestamp", "sales_value"], settings)
    baskets = lines.groupby(["household_id", "basket_id"], as_index=False).agg(
        event_timestamp=("transaction_timestamp", "max"), basket_value=("sales_value", "sum")
    )
    baskets["basket_value"] = baskets["basket_value"].round(2)
    sample = baskets.sort_values(["event_timestamp", "basket_id"], ascending=False).iloc[::EVERY]
    return sample[["household_id", "event_timestamp", "basket_value"]].reset_index(drop=True)


def label(checkouts: pd.DataFrame, settings: Settings) -> tuple[pd.DataFrame, date]:
    """Whether the household redeems a coupon in the 28 business days after the checkout's own; and the data's last day.

    A redemption is known by its day alone, so one of the checkout's own day may come before or after it and counts for
    neither. Where the 28 days pass the last complete day nobody can know the label: such checkouts are dropped.
    """
    contract = read_contract("coupon_redemptions", settings.contracts)
    through = RawTable(contract, settings.raw_dir).snapshot().complete_through
    if through is None:
        raise DataError(f"{contract.name} is complete through no day yet, so no label is known. Ingest more of it.")
    day = _business_day(checkouts["event_timestamp"], contract.business_day_zone)
    known = checkouts.assign(day=day)[day + LABEL_DAYS <= day_number(through)].reset_index(drop=True)

    redemptions = _read_raw("coupon_redemptions", ["household_id", "redemption_date"], settings)
    redeemed = _business_day(redemptions["redemption_date"], contract.business_day_zone)
    pairs = known.reset_index(names="row").merge(redemptions.assign(redeemed=redeemed), on="household_id")
    later = pairs["redeemed"] - pairs["day"]
    hits = pairs.loc[later.between(1, LABEL_DAYS), "row"].unique()
    known[LABEL] = known.index.isin(hits)
    return known.drop(columns="day"), through


def save(frame: pd.DataFrame, settings: Settings) -> Path:
    """Write the frame to the datasets folder, in one move, with the versions that it was made from."""
    path = dataset_path(settings)
    make_folder(path.parent)
    table = pa.Table.from_pandas(frame, preserve_index=False)
    metadata = {**(table.schema.metadata or {}), _INPUTS: json.dumps(inputs(settings)).encode()}
    draft = path.with_suffix(".tmp")
    pq.write_table(table.replace_schema_metadata(metadata), make_file(draft))
    draft.replace(path)
    return path


def dataset_path(settings: Settings) -> Path:
    """Where the frame is saved."""
    return settings.datasets_dir / f"{SERVICE}.parquet"


def is_current(settings: Settings) -> bool:
    """Whether the saved frame was made from the tables and functions of this moment."""
    path = dataset_path(settings)
    if not path.is_file():
        return False
    return (pq.read_schema(path).metadata or {}).get(_INPUTS) == json.dumps(inputs(settings)).encode()


def inputs(settings: Settings) -> dict[str, object]:
    """What the frame depends on: versions of raw and offline tables, the on-demand functions, and the code above."""
    sources = ("coupon_redemptions", "transactions")
    tables = [OfflineTable(folder) for folder in sorted(settings.offline_dir.glob("*"))]
    return {
        "sources": {
            name: RawTable(read_contract(name, settings.contracts), settings.raw_dir).snapshot().version
            for name in sources
        },
        "views": {table.name: latest.version for table in tables if (latest := table.latest())},
        "functions": {function.name: function.content_hash for function in (basket_vs_usual, days_since_trip)},
        "code": [hash_of_function(function) for function in (sample_checkouts, label)],
    }


def _read_raw(source: str, columns: list[str], settings: Settings) -> pd.DataFrame:
    contract = read_contract(source, settings.contracts)
    frame: pd.DataFrame = read_current(RawTable(contract, settings.raw_dir).snapshot(), contract, columns).to_pandas()
    return frame


def _business_day(instants: pd.Series[pd.Timestamp], zone: str) -> pd.Series[int]:
    import pandas as pd

    micros = np.asarray(instants.astype("datetime64[us, UTC]").astype("int64"), dtype=np.int64)
    return pd.Series(days_of_instants(micros, zone).tolist(), index=instants.index, dtype="int64")
