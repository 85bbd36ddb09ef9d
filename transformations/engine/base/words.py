"""Words of messages: how things count (`1 row`, `1,204 rows`), and addresses without their secrets."""

import re

_HIDDEN = "***"
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_NAME = re.compile(r"[\w.+-]*")
_HOST = r"(?:[\w.-]+|\[[0-9A-Fa-f:.]+\])"
_PLACE = re.compile(rf"((?:{_HOST}(?::\d+)?(?:,{_HOST}(?::\d+)?)*)?)((?:/[\w./ -]*)?)(?:\?(.*))?", re.DOTALL)
_HOST_AND_PORT = re.compile(rf"{_HOST}:\d+")
_SHOWN_PARAMETERS = frozenset(
    {"charset", "connect_timeout", "db", "health_check_interval", "host", "max_connections", "port", "protocol"}
    | {"plugin", "redis_type", "socket_timeout", "ssl", "ssl_cert_reqs", "sslmode", "timeout", "username", "user"}
)
_SHOWN_SPARK = re.compile(
    r"spark\.(?:sql\.(?:adaptive\.[\w.]+|shuffle\.partitions|files\.maxPartitionBytes|session\.timeZone)|memory\.\w+"
    r"|(?:driver|executor)\.(?:cores|instances|memory|memoryOverhead)|master|app\.name|local\.dir|cores\.max"
    r"|default\.parallelism|pyspark\.(?:driver\.)?python)"
)


def plural(count: int, noun: str, many: str | None = None) -> str:
    """A count with its noun: `plural(1, "stored row")` is `1 stored row`, `plural(1204, "row")` is `1,204 rows`.

    many: the plural where it is not the noun with an s, as in `plural(2, "entity", "entities")`.
    """
    return f"{count:,} {noun if count == 1 else many or f'{noun}s'}"


def show_address(address: str) -> str:
    """An address of a service with only those parts that are known to hold no secret; `***` in place of all others.

    Shown are scheme, user name, hosts, ports, path and a few parameters: `redis://me:***@host:6379/0?db=1`, and in
    Feast's form `host:6379,password=***,db=0`. A text that is no address is hidden whole: it may be a password.
    """
    url = _URL.fullmatch(address)
    if url is None:
        return _show_parts(address)
    scheme, rest = url.groups()
    secret, at, place = rest.rpartition("@")
    name, colon, _ = secret.partition(":")
    found = _PLACE.fullmatch(place)
    if found is None or any(mark in secret for mark in "?&"):  # an @ within a parameter is not the user's end
        return f"{scheme}://{_HIDDEN}"
    hosts, path, parameters = found.groups()
    user = f"{name}:{_HIDDEN}@" if colon and _NAME.fullmatch(name) else f"{_HIDDEN}@"
    shown = "" if parameters is None else "?" + "&".join(map(_show_parameter, parameters.split("&")))
    return f"{scheme}://{user if at else ''}{hosts}{path}{shown}"


def show_evidence(error: object, address: str) -> str:
    """What an error says of an address; its kind alone where the words hold anything that `show_address` hides."""
    shown = show_address(address)
    text = str(error).replace(address, shown) if address else str(error)
    parts = re.fullmatch("(.*?)".join(map(re.escape, shown.split(_HIDDEN))), address, re.DOTALL)
    secrets = [part for part in (parts.groups() if parts else (address,)) if part]
    pieces = [piece for secret in secrets for piece in (secret, *re.findall(r"\w{3,}", secret))]
    return type(error).__name__ if any(piece in text for piece in pieces) else text


def show_spark_setting(name: str, value: str) -> str:
    """The value of a Spark setting that is known to hold no secret, `***` of any other."""
    return value if _SHOWN_SPARK.fullmatch(name) else _HIDDEN


def _show_parts(address: str) -> str:
    """Feast's own form: hosts with ports, then parameters."""
    shown: list[str] = []
    for part in address.split(","):
        is_host = _HOST_AND_PORT.fullmatch(part) and not any("=" in each or each == _HIDDEN for each in shown)
        shown.append(part if is_host else _show_parameter(part))
    return ",".join(shown)


def _show_parameter(parameter: str) -> str:
    name, equals, value = parameter.partition("=")
    if not equals or not name or not _NAME.fullmatch(name):
        return _HIDDEN
    return parameter if name.lower() in _SHOWN_PARAMETERS and _NAME.fullmatch(value) else f"{name}={_HIDDEN}"
