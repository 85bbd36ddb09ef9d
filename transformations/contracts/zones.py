"""Time zones: which names are one, and whose clock shows the moments of several sources."""

from collections.abc import Iterable
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from transformations.contracts import Contract, contract_names, read_contract

_NO_PLACES = ("localtime", "posixrules", "Factory")  # two follow the machine, the third says that none is set


def fault_of_zone(zone: str) -> str | None:
    """Why a name is no zone to read or show times in; None if it is one."""
    if zone in _NO_PLACES or zone.startswith(("posix/", "right/")):
        return "a name for no place's time"
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return "no time zone"
    return None


def declared_zones(contracts: Iterable[Contract]) -> set[str]:
    """Each timestampZone that these contracts declare."""
    return {contract.timestamp_zone for contract in contracts if contract.declares_zone}


def shared_zone(contracts: Iterable[Contract]) -> str:
    """The timestampZone of these contracts, those without one left out; UTC where they differ.

    Where none declares one, the zone of their business days.
    """
    known = list(contracts)
    zones = declared_zones(known) or {contract.shown_zone for contract in known}
    return zones.pop() if len(zones) == 1 else "UTC"


def zone_of_sources(sources: Iterable[str], folder: Path | None = None) -> str:
    """`shared_zone` of the sources that have a contract."""
    known = set(contract_names(folder))
    return shared_zone(read_contract(name, folder) for name in sources if name in known)
