"""Words of messages: how things count (`1 row`, `1,204 rows`), and what may be shown of addresses, errors and settings.

Secrets are kept out by naming what is harmless, never by looking for what is not: scheme, hosts and ports of an address
that can be read in one way only, the system's names of errors, a few of Spark's settings. All else is `***`.
"""

import os
import re
import socket
import ssl
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from urllib.parse import unquote

HIDDEN = "***"

_SCHEME = re.compile(
    r"(redis|rediss|unix|http|https"
    r"|(?:postgresql|mysql|mariadb|mssql|oracle|snowflake|sqlite)"
    r"(?:\+(?:psycopg2?|asyncpg|pg8000|pymysql|mysqldb|mysqlconnector|pyodbc|pymssql|oracledb|pysqlite))?"
    r")://(.*)",
    re.DOTALL,
)
_HOST = r"(?:[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])"
_HOSTS = re.compile(rf"{_HOST}(?::\d{{1,5}})?(?:,{_HOST}(?::\d{{1,5}})?)*", re.ASCII)
_USER = r"[^/?#@\[\]\x00-\x20]*@"
_PLACE = re.compile(rf"({_USER})?({_HOSTS.pattern})([/?#].*)?", re.DOTALL | re.ASCII)
_FILE = re.compile(rf"({_USER})?(/[^?#@]*)(\?.*)?", re.DOTALL)
_HOST_AND_PORT = re.compile(rf"{_HOST}:\d{{1,5}}", re.ASCII)
# A name may be a password that was written in the place of a host; these are none.
_OF_THIS_MACHINE = re.compile(r"(?:localhost|(?:\d{1,3}\.){3}\d{1,3}|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?", re.ASCII)
_DATABASE = re.compile(r"/\d{0,2}", re.ASCII)

_NAME_FAULTS = {
    socket.EAI_NONAME: "the name of the host is not known",
    socket.EAI_AGAIN: "the name of the host cannot be looked up at present",
    socket.EAI_FAIL: "the name of the host cannot be looked up",
}
_CERTIFICATE_FAULTS = {
    9: "it is not valid yet",
    10: "it has expired",
    18: "it is self-signed",
    19: "it is signed by one that is self-signed",
    20: "its issuer is not known here",
    62: "it is another host's",
}
# What the answer of a Redis that refuses begins with.
_REDIS_CODES = re.compile(
    "(ASK|BUSY|BUSYGROUP|BUSYKEY|CLUSTERDOWN|CROSSSLOT|ERR|EXECABORT|INPROG|IOERR|LOADING|MASTERDOWN|MISCONF|MOVED"
    "|NOAUTH|NOGOODSLAVE|NOGROUP|NOMASTERLINK|NOPERM|NOPROTO|NOREPLICAS|NOSCRIPT|NOTBUSY|OOM|READONLY|TRYAGAIN"
    "|UNBLOCKED|UNKILLABLE|WRONGPASS|WRONGTYPE)"
)
_REDIS_SENTENCES = (
    "unknown command",
    "DB index is out of range",
    "invalid DB index",
    "invalid password",
    "AUTH <password> called without any password configured for the default user",
    "max number of clients reached",
    "Protocol error",
)

_SPARK_NAME = re.compile(r"spark\.[\w.-]+", re.ASCII)
_SHOWN_SPARK_NAMES = (
    r"spark\.(?:sql\.(?:adaptive\.[a-zA-Z.]+|shuffle\.partitions|files\.maxPartitionBytes|session\.timeZone"
    r"|execution\.arrow\.maxRecordsPerBatch)|memory\.(?:fraction|storageFraction|offHeap\.enabled|offHeap\.size)"
    r"|(?:driver|executor)\.(?:cores|instances|memory|memoryOverhead)|cores\.max|default\.parallelism"
    r"|ui\.(?:enabled|showConsoleProgress)|eventLog\.enabled)"
)
_SHOWN_SPARK_VALUES = r"\d+(?:\.\d+)?[bkmgtpBKMGTP]{0,2}|true|false|UTC"
_SPARK_MASTER = re.compile(rf"local(?:\[[\d*, ]+\])?|local-cluster\[[\d, ]+\]|yarn|spark://{_HOSTS.pattern}", re.ASCII)

ALL_BUT_KNOWN_SPARK_SETTINGS = f"^(?!(?:{_SHOWN_SPARK_NAMES}|{_SHOWN_SPARK_VALUES})$)"
"""What `spark.redaction.regex` must be for Spark's UI and event log to show no others; Spark tries names and values."""


def plural(count: int, noun: str, many: str | None = None) -> str:
    """A count with its noun: `plural(1, "stored row")` is `1 stored row`, `plural(1204, "row")` is `1,204 rows`.

    many: the plural where it is not the noun with an s, as in `plural(2, "entity", "entities")`.
    """
    return f"{count:,} {noun if count == 1 else many or f'{noun}s'}"


def typed_path(path: Path) -> str:
    """A path as one would type it here: relative where it is below the working directory."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def human_count(number: float) -> str:
    """1234567 as `1,234,567`."""
    return f"{number:,}"


def human_bytes(size: float) -> str:
    """1536 as `1.5 KiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def human_duration(seconds: float) -> str:
    """0.0042 as `4 ms`, 3.21 as `3.2 s`, 125 as `2 min 5 s`, 7380 as `2 h 3 min`."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def show_address(address: str) -> str:
    """An address of a service by its scheme, hosts and ports: `redis://***@host:6379/0`, `host:6379,***`.

    A host is shown where the address names its password apart from it, or where it is localhost or an IP address:
    in `redis://token` and `hunter2:6379` it may be the password itself. A path is shown where that file exists.
    """
    url = _SCHEME.fullmatch(address)
    if url is None:
        return _show_host_list(address)
    scheme, rest = url.groups()
    is_file = scheme == "unix" or scheme.startswith("sqlite")
    return f"{scheme}://{_show_file(scheme, rest) if is_file else _show_place(rest)}"


def has_unencoded_password(url: str) -> bool:
    """Whether an `@` stands behind what a URL's readers take for its host, as in `redis://me:pass/word@host:6379`."""
    _, _, rest = url.partition("://")
    return "@" in rest[len(re.split("[/?#]", rest)[0]) :]


def show_reason(error: BaseException) -> str:
    """Why something failed, in words that hold no secret: the error's kind, and what the system, TLS or Redis call it.

    An error's own words may repeat a part of an address, or what was sent.
    """
    reasons = dict.fromkeys(reason for each in _causes_of(error) if (reason := _known_reason(each)))
    return ": ".join([type(error).__name__, *reasons])


def show_spark_setting(name: str, value: str) -> str:
    """The value of a Spark setting that is known to hold no secret, `***` of any other."""
    if name == "spark.master":
        return value if _SPARK_MASTER.fullmatch(value) else HIDDEN
    is_known = re.fullmatch(_SHOWN_SPARK_NAMES, name) and re.fullmatch(_SHOWN_SPARK_VALUES, value)
    return value if is_known else HIDDEN


def show_spark_settings(settings: dict[str, str]) -> dict[str, str]:
    """Spark settings with those values that may be shown; what is not named as Spark's settings are is hidden whole."""
    return {
        name if _SPARK_NAME.fullmatch(name) else HIDDEN: show_spark_setting(name, value)
        for name, value in settings.items()
    }


def _show_place(rest: str) -> str:
    found = _PLACE.fullmatch(rest)
    if found is None or "@" in (found[3] or ""):
        return HIDDEN
    user, hosts, behind = found.groups()
    if not user and not all(map(_OF_THIS_MACHINE.fullmatch, hosts.split(","))):
        return HIDDEN
    shown = behind if not behind or _DATABASE.fullmatch(behind) else f"{behind[0]}{HIDDEN}"
    return f"{f'{HIDDEN}@' if user else ''}{hosts}{shown or ''}"


def _show_file(scheme: str, rest: str) -> str:
    found = _FILE.fullmatch(rest)
    if found is None or "@" in (found[3] or ""):
        return HIDDEN
    user, path, parameters = found.groups()
    file = unquote(path) if scheme == "unix" else path[1:]
    if "\0" in file or not Path(file).exists():
        return HIDDEN
    return f"{f'{HIDDEN}@' if user else ''}{path}{f'?{HIDDEN}' if parameters else ''}"


def _show_host_list(address: str) -> str:
    """Feast's own form: hosts with ports, then parameters."""
    parts = address.split(",")
    hosts = list(takewhile(_HOST_AND_PORT.fullmatch, parts))
    others = parts[len(hosts) :]
    has_password = any(part.startswith("password=") for part in others)
    if not hosts or not (has_password or all(map(_OF_THIS_MACHINE.fullmatch, hosts))):
        return HIDDEN
    return ",".join([*hosts, HIDDEN] if others else hosts)


def _causes_of(error: BaseException) -> Iterator[BaseException]:
    """An error and those that led to it."""
    following: BaseException | None = error
    while following is not None:
        yield following
        following = following.__cause__ or following.__context__


def _known_reason(error: BaseException) -> str | None:
    match error:
        case ssl.SSLCertVerificationError():
            why = _CERTIFICATE_FAULTS.get(error.verify_code)
            return f"certificate verify failed{f', {why}' if why else ''}"
        case ssl.SSLError():
            return str(error.reason).replace("_", " ").lower() if error.reason else None
        case socket.gaierror():
            return _NAME_FAULTS.get(error.errno or 0)
        case OSError(errno=int(number)):
            return os.strerror(number)
    name = getattr(error, "sqlite_errorname", None)
    if name is not None:
        return str(name)
    code, _, said = str(error).partition(" ")
    if not _REDIS_CODES.fullmatch(code):
        return None
    return " ".join([code, *(sentence for sentence in _REDIS_SENTENCES if said.startswith(sentence))])
