"""The sources as Feast's registry shows them: the raw table of each contract as a data source.

Feast draws lineage from a view's batch source, which is the view's own table, and knows nothing before it. These data
sources stand before it under the names that lineage events give to raw tables, so that the events join them to views.
"""

from __future__ import annotations

import re

from feast import FileSource
from feast.data_format import DeltaFormat

from transformations.contracts import PII_CLASSES, Column, Contract, contract_names, read_contract
from transformations.engine.base.settings import Settings, get_settings
from transformations.engine.lineage.names import raw_dataset
from transformations.stores.base.places import portable_path
from transformations.stores.base.views import PII, highest_pii

_VALID_FROM = "valid_from"
"""For rows without an event time, which hold from a moment of their drop. No column has it, but Feast wants a name, and
would look for one in the files (feast/inference.py:79).
"""


def raw_sources() -> dict[str, FileSource]:
    """The data source of every contract, by a name for a module's attribute: Feast finds what a module holds.

    `globals().update(raw_sources())` in a file of the feature repository registers them all. No view reads one: a view
    reads its own table, which is built from raw tables. ContractError where a contract cannot be read.
    """
    settings = get_settings()
    contracts = [read_contract(name, settings.contracts) for name in contract_names(settings.contracts)]
    return {f"raw_{re.sub(r'[^a-z0-9]', '_', each.name)}": _raw_source(each, settings) for each in contracts}


def _raw_source(contract: Contract, settings: Settings) -> FileSource:
    pii = highest_pii(column.pii for column in contract.columns)
    facts = {
        "contract": f"{contract.file_name}, version {contract.version}",
        "key": ", ".join(contract.key),
        "business_day_zone": contract.business_day_zone,
        **{f"column.{column.name}": _column_text(column) for column in contract.columns},
        PII: "" if pii == PII_CLASSES[0] else pii,
    }
    return FileSource(
        name=raw_dataset(contract.name),
        path=portable_path(settings.raw_dir / contract.name, settings),
        file_format=DeltaFormat(),
        timestamp_field=contract.event_time or _VALID_FROM,
        description=contract.description,
        owner=contract.owner,
        tags={name: text for name, text in facts.items() if text},
    )


def _column_text(column: Column) -> str:
    """`Float64 in USD, may be null, personal: Amount paid`."""
    unit = f" in {column.unit}" if column.unit else ""
    marks = [f"{column.dtype}{unit}", "may be null" if column.nullable else ""]
    marks.append("" if column.pii == PII_CLASSES[0] else column.pii)
    return f"{', '.join(filter(None, marks))}: {column.description}"
