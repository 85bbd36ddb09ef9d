"""How commands show a moment: as the clock of the contract shows it that the moment belongs to."""

from collections.abc import Iterable
from datetime import datetime
from zoneinfo import ZoneInfo

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


def shown_moment(moment: datetime, zone: str, *, seconds: bool = True) -> str:
    """A moment in a zone: `2020-01-31 12:00:00 UTC`, elsewhere with its offset: `2020-01-31 13:00:00 +01:00`.

    Fractions of a second are shown where there are some. zone: the contract's timestampZone, so that times are shown
    as they were delivered.
    """
    local = moment.astimezone(ZoneInfo(zone))
    fraction = ".%f" if local.microsecond else ""
    text = local.strftime(f"%Y-%m-%d %H:%M:%S{fraction}" if seconds or fraction else "%Y-%m-%d %H:%M")
    return (
        f"{text} UTC" if zone == "UTC" else f"{text} {local.isoformat()[len(local.replace(tzinfo=None).isoformat()) :]}"
    )
