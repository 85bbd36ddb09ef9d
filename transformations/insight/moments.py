"""The zone whose clock shows moments that belong to several sources."""

from collections.abc import Iterable

from transformations.contracts import contract_names, read_contract
from transformations.engine.base.settings import Settings


def shared_zone(zones: Iterable[str]) -> str:
    """The zone for what belongs to several sources: theirs if they share one, else UTC."""
    found = set(zones)
    return found.pop() if len(found) == 1 else "UTC"


def zone_of_sources(sources: Iterable[str], settings: Settings) -> str:
    """The timestampZone that the contracts of these sources share, of those that declare one; UTC if they differ."""
    known = set(contract_names(settings.contracts))
    contracts = [read_contract(name, settings.contracts) for name in sources if name in known]
    return shared_zone(contract.timestamp_zone for contract in contracts if contract.declares_zone)
