"""The names of a row's timestamps, and their conversions: UTC, in microseconds since the epoch."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

EVENT_TIMESTAMP = "event_timestamp"
"""From when on a stored row can be served; in a spine, the moment to look up. Feast's own name for both."""
CREATED_TIMESTAMP = "created_timestamp"
"""When serving could first have known a stored row."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def as_utc(moment: datetime) -> datetime:
    """The same instant in UTC; a naive datetime is UTC already, as everywhere in Feast."""
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def instant_to_micros(instant: datetime) -> int:
    """Microseconds since the epoch; a naive datetime is UTC."""
    return ((instant if instant.tzinfo else instant.replace(tzinfo=UTC)) - EPOCH) // MICROSECOND


def micros_to_instant(micros: int) -> datetime:
    """The aware UTC datetime of microseconds since the epoch."""
    return EPOCH + timedelta(microseconds=micros)


def json_moment(moment: datetime) -> str:
    """A moment of UTC in ISO 8601: `2020-01-31T12:00:00Z`, with microseconds where there are some."""
    return f"{moment.replace(tzinfo=None).isoformat()}Z"


def moment_text(moment: datetime, zone: str, *, seconds: bool = True) -> str:
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


def minute_text(moment: datetime, zone: str = "UTC") -> str:
    """A moment to the minute, which is enough to say when something was done: `2020-01-31 12:00 UTC`."""
    return moment_text(moment.replace(second=0, microsecond=0), zone, seconds=False)


def value_text(value: object, zone: str, *, quoted: bool = False) -> str:
    """A feature's value as it is shown: a moment in the zone, in lists and maps too; `null` for None.

    quoted: texts stand in quotes, as they do within lists and maps, so that none is taken for a number or a null.
    """
    match value:
        case None:
            return "null"
        case datetime():
            return moment_text(as_utc(value), zone)
        case list() | tuple():
            return f"[{', '.join(value_text(each, zone, quoted=True) for each in value)}]"
        case dict():
            pairs = [[value_text(each, zone, quoted=True) for each in pair] for pair in value.items()]
            return f"{{{', '.join(map(': '.join, pairs))}}}"
    return repr(value) if quoted else str(value)
