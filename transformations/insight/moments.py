"""How commands show a moment that belongs to one source: as the clock of its contract shows it."""

from datetime import datetime
from zoneinfo import ZoneInfo


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
