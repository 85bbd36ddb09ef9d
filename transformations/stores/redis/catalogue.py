"""What the rows in Redis are: which table each view's rows form, and the schemas that they were written under.

It lies in Redis beside the rows, so that every process, and a Redis that was flushed or restored, speaks of the same
ones. A view's rows form a table with a number of its own; deleting the view, or loading it anew from a table that was
rebuilt, takes the next number, which hides the old rows at once. They are unlinked later (`unlinking.py` beside this).
A counter, the epoch, changes with every change here: who keeps a copy asks for it together with the rows.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from redis import Redis, RedisCluster

from transformations.engine.base.errors import DataError
from transformations.stores.rows.packed_rows import FORM, Schema, event_micros, fault_of, schema_from

SyncClient = Redis | RedisCluster

_TABLES = "{features}:tables"
_LEFTOVERS = "{features}:leftovers"
_LOAD_LEASE_SECONDS = 600
# Numbers start at the microsecond's place in all that five digits tell apart, so that a flushed Redis does not repeat
# those that a run begun before the flush still writes to: it takes 15 minutes, to the microsecond, to come by again.
_NUMBERS = 62**5


@dataclass(frozen=True)
class Table:
    """A view's rows: the number that ends their keys, and their schemas by number, from 1 on."""

    number: bytes
    schemas: tuple[Schema, ...]

    @property
    def newest(self) -> int:
        """The number of the newest schema."""
        return len(self.schemas)


@dataclass(frozen=True)
class Catalog:
    """One project's tables, by view, as they were at one epoch; None where nothing was ever written."""

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
    """Where the counter of a project's changes is."""
    return f"{{features}}:epoch:{project}".encode()


def views_key(project: str) -> bytes:
    """Where a project's tables are, by view."""
    return f"{{features}}:views:{FORM}:{project}".encode()


def catalog_of(epoch: bytes | None, views: Mapping[bytes, bytes]) -> Catalog:
    """The catalog from what Redis has under the two keys; ask for the epoch first, so that it is never too new."""
    return Catalog(epoch, {view.decode(): _table(view.decode(), facts) for view, facts in views.items()})


def read_catalog(client: SyncClient, project: str) -> Catalog:
    """The catalog as it is now."""
    epoch = cast("bytes | None", client.get(epoch_key(project)))
    return catalog_of(epoch, cast("dict[bytes, bytes]", client.hgetall(cast("str", views_key(project)))))


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
    """Make `schema` the newest of a view's table, which is made where there is none; and the catalog after that.

    A schema that was left and is taken again gets a new number: greater is newer, and wins between equal timestamps.
    """
    _run(client, project, _INTERN, view, schema.text())
    return read_catalog(client, project)


def drop(client: SyncClient, project: str, view: str) -> None:
    """Hide all rows of a view; they are left over from now on."""
    _run(client, project, _DROP, view)


def prepare(client: SyncClient, project: str) -> bytes:
    """The number of a table to load unseen; left over, unless it is published, or its lease renewed in time."""
    return cast("bytes", _run(client, project, _PREPARE, _lease()))


def renew(client: SyncClient, number: bytes) -> None:
    """Say that an unseen table is still being loaded."""
    client.hset(_LEFTOVERS, cast("str", number), str(_lease()))


def publish(client: SyncClient, project: str, view: str, number: bytes, instead_of: bytes) -> bool:
    """Make a table that was loaded unseen the view's own, in place of the one it had; schemas keep their numbers.

    False where the table was given up, or the view deleted or loaded anew by another run meanwhile.
    """
    return bool(_run(client, project, _PUBLISH, view, number, instead_of))


def give_up(client: SyncClient, number: bytes) -> None:
    """Leave over a table that no view has, also one that the catalog forgot when Redis was flushed."""
    client.hset(_LEFTOVERS, cast("str", number), "0")


def leftovers(client: SyncClient) -> list[bytes]:
    """The numbers of tables that no view has any more and nobody loads."""
    found = cast("dict[bytes, bytes]", client.hgetall(_LEFTOVERS))
    return [number for number, lease in found.items() if int(lease) < time.time()]


def forget_leftovers(client: SyncClient, numbers: Sequence[bytes]) -> None:
    """Say that these tables have no row any more."""
    if numbers:
        client.hdel(_LEFTOVERS, *cast("list[str]", list(numbers)))


def _run(client: SyncClient, project: str, script: str, *arguments: object) -> Any:
    keys = [views_key(project), epoch_key(project), _TABLES, _LEFTOVERS]
    return client.eval(script, len(keys), *cast("list[str]", [*keys, *arguments]))


def _lease() -> int:
    return int(time.time()) + _LOAD_LEASE_SECONDS


def _table(view: str, text: bytes) -> Table:
    try:
        facts = json.loads(text)
        return Table(facts["number"].encode(), tuple(schema_from(schema) for schema in facts["schemas"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{view}: its entry in the online store's catalogue cannot be read ({error!r}): {text[:80]!r}. Remove it "
            f"(HDEL {{features}}:views:{FORM}:<project> {view}), and load the view anew: `feast materialize`."
        ) from error
