"""The catalogue of the online store: the table that holds each view's rows, and the schemas they were written under.

It is kept in Redis beside the rows, so that all processes agree with each other and with a Redis that was flushed or
restored. A view's rows form a table with its own number. Deleting the view, or loading it anew from a rebuilt offline
table, takes the next number, which hides the old rows at once; `unlinking.py` frees them later. A counter, the epoch,
changes with every change to the catalogue: whoever keeps a copy reads the epoch together with the rows.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from transformations.engine.base.errors import DataError
from transformations.stores.base.errors import other_type_of_ours
from transformations.stores.redis.connections import SyncClient
from transformations.stores.redis.idle import in_time
from transformations.stores.redis.reads import Steps, run_patiently
from transformations.stores.rows.packed_rows import FORM, OTHER_TYPE, Schema, event_micros, fault_of, schema_from

_TABLES = "{features}:tables"
_LEFTOVERS = "{features}:leftovers"
_LOAD_LEASE_SECONDS = 600
# Five digits of base 62. Numbers start at the current microsecond modulo their range, so that a flushed Redis does not
# reuse the number that a run begun before the flush still writes to: the same start recurs only every 15 minutes.
_NUMBERS = 62**5


@dataclass(frozen=True)
class Table:
    """A view's table: the number that ends the keys of its rows, and its schemas, numbered from 1."""

    number: bytes
    schemas: tuple[Schema, ...]

    @property
    def newest(self) -> int:
        """The number of the newest schema."""
        return len(self.schemas)


@dataclass(frozen=True)
class Catalog:
    """One project's tables by view at one epoch. epoch: None if nothing was ever written."""

    epoch: bytes | None
    tables: Mapping[str, Table]


# All scripts touch keys of one slot only. KEYS: views, epoch, counter, leftovers.
_PRELUDE = """
local function bump()
    if redis.call('EXISTS', KEYS[2]) == 0 then
        local now = redis.call('TIME')
        redis.call('SET', KEYS[2], now[1] .. string.format('%06d', tonumber(now[2])))
    end
    redis.call('INCR', KEYS[2])
end
local function number()
    local letters = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
    if redis.call('EXISTS', KEYS[3]) == 0 then
        local now = redis.call('TIME')
        redis.call('SET', KEYS[3], (now[1] * 1000000 + now[2]) % NUMBERS)
    end
    local rest, text = redis.call('INCR', KEYS[3]), ''
    for _ = 1, 5 do
        local digit = rest % 62
        text = string.sub(letters, digit + 1, digit + 1) .. text
        rest = (rest - digit) / 62
    end
    return text
end
local function entry(view)
    local found = redis.call('HGET', KEYS[1], view)
    return found and cjson.decode(found)
end
local function save(view, table)
    redis.call('HSET', KEYS[1], view, cjson.encode(table))
    bump()
end
""".replace("NUMBERS", str(_NUMBERS))

_INTERN = (
    _PRELUDE
    + """
local known = entry(ARGV[1])
if not known then
    save(ARGV[1], {number = number(), schemas = {ARGV[2]}})
elseif known.schemas[#known.schemas] ~= ARGV[2] then
    table.insert(known.schemas, ARGV[2])
    save(ARGV[1], known)
end
return 1
"""
)
_DROP = (
    _PRELUDE
    + """
local known = entry(ARGV[1])
if known then
    redis.call('HSET', KEYS[4], known.number, 0)
    redis.call('HDEL', KEYS[1], ARGV[1])
    bump()
end
return 1
"""
)
_PREPARE = (
    _PRELUDE
    + """
local fresh = number()
redis.call('HSET', KEYS[4], fresh, ARGV[1])
return fresh
"""
)
_PUBLISH = (
    _PRELUDE
    + """
local known = entry(ARGV[1])
if not known or known.number ~= ARGV[3] or redis.call('HDEL', KEYS[4], ARGV[2]) == 0 then return 0 end
redis.call('HSET', KEYS[4], known.number, 0)
known.number = ARGV[2]
save(ARGV[1], known)
return 1
"""
)


def epoch_key(project: str) -> bytes:
    """The key of a project's epoch."""
    return f"{{features}}:epoch:{project}".encode()


def views_key(project: str) -> bytes:
    """The key of a project's tables, a hash by view."""
    return f"{{features}}:views:{FORM}:{project}".encode()


def catalog_steps(project: str) -> Steps[Catalog]:
    """Read the catalogue; the epoch comes first, so that it is never newer than the tables.

    DamagedRowError where another program has put a value of another type under the epoch's key.
    """
    (epoch,) = yield [epoch_key(project)]
    if epoch == OTHER_TYPE:  # which would seem to be the same epoch for ever
        raise other_type_of_ours(epoch_key(project).decode())
    views = yield views_key(project)
    return Catalog(epoch, {view.decode(): _parse_table(view.decode(), facts) for view, facts in views.items()})


def read_catalog(client: SyncClient, project: str) -> Catalog:
    """Read the catalogue through the patient client."""
    return run_patiently(client, catalog_steps(project))


def read_epoch(client: SyncClient, project: str) -> bytes | None:
    """The catalogue's epoch, through the patient client; None if nothing was ever written."""
    return cast("bytes | None", in_time(client, partial(client.get, cast("str", epoch_key(project)))))


def row_test(client: SyncClient, project: str, view: str, latest: int) -> Callable[[Sequence[bytes]], list[bool]]:
    """Tells which values are intact rows of a view, by the catalogue of the moment.

    latest: the latest event timestamp that a row may have, in microseconds; a later one would hide what follows.
    """

    def are_rows(values: Sequence[bytes]) -> list[bool]:
        table = read_catalog(client, project).tables.get(view)
        if table is None:  # deleted meanwhile
            return [True] * len(values)
        return [fault_of(value, table.schemas) is None and event_micros(value) <= latest for value in values]

    return are_rows


def intern(client: SyncClient, project: str, view: str, schema: Schema) -> Catalog:
    """Make `schema` the newest of a view's table, creating the table if need be. Returns the catalogue after that.

    Returning to an earlier schema takes a new number, too: the greater number is newer, and wins at equal timestamps.
    """
    _run_script(client, project, _INTERN, view, schema.text())
    return read_catalog(client, project)


def drop(client: SyncClient, project: str, view: str) -> None:
    """Hide all rows of a view; they are leftovers from now on."""
    _run_script(client, project, _DROP, view)


def prepare(client: SyncClient, project: str) -> bytes:
    """The number of a new table to load unseen. It becomes a leftover unless it is published or its lease renewed."""
    return cast("bytes", _run_script(client, project, _PREPARE, _new_lease()))


def renew(client: SyncClient, number: bytes) -> None:
    """Renew the lease of an unseen table that is still being loaded."""
    in_time(client, partial(client.hset, _LEFTOVERS, cast("str", number), str(_new_lease())))


def publish(client: SyncClient, project: str, view: str, number: bytes, instead_of: bytes) -> bool:
    """Replace a view's table by one that was loaded unseen; schemas keep their numbers.

    False if the unseen table was given up, or another run has deleted the view or loaded it anew meanwhile.
    """
    return bool(_run_script(client, project, _PUBLISH, view, number, instead_of))


def give_up(client: SyncClient, number: bytes) -> None:
    """Make a leftover of a table that belongs to no view, even if a flush made the catalogue forget it."""
    in_time(client, partial(client.hset, _LEFTOVERS, cast("str", number), "0"))


def leftovers(client: SyncClient) -> list[bytes]:
    """The numbers of tables that belong to no view and that nobody is loading."""
    found = cast("dict[bytes, bytes]", in_time(client, partial(client.hgetall, _LEFTOVERS)))
    return [number for number, lease in found.items() if int(lease) < time.time()]


def forget_leftovers(client: SyncClient, numbers: Sequence[bytes]) -> None:
    """Forget leftovers whose rows are all gone."""
    if numbers:
        in_time(client, partial(client.hdel, _LEFTOVERS, *cast("list[str]", list(numbers))))


def _run_script(client: SyncClient, project: str, script: str, *arguments: object) -> Any:
    keys = [views_key(project), epoch_key(project), _TABLES, _LEFTOVERS]
    words = cast("list[str]", [*keys, *arguments])
    return in_time(client, partial(client.eval, script, len(keys), *words))


def _new_lease() -> int:
    return int(time.time()) + _LOAD_LEASE_SECONDS


def _parse_table(view: str, text: bytes) -> Table:
    try:
        facts = json.loads(text)
        return Table(facts["number"].encode(), tuple(schema_from(schema) for schema in facts["schemas"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{view}: its entry in the online store's catalogue cannot be read ({error!r}): {text[:80]!r}. Remove it "
            f"(HDEL {{features}}:views:{FORM}:<project> {view}), and load the view anew: `feast materialize`."
        ) from error
