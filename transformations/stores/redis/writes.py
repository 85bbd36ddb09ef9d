"""Writing packed rows: newest wins, decided in Redis, so that writers need not know of each other.

A row replaces the stored one if its (event timestamp, created timestamp, schema number) is equal or greater. Retries,
parallel writers, late corrections and backfilled features therefore all end in the same state.

Only an intact row of the view may keep its place. Whatever else is found under a row's key (bytes that are no row, a
damaged row, one from the future, a list or a hash) is replaced and counted.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property, partial
from itertools import islice
from time import monotonic, sleep
from typing import Any, NamedTuple, TypeAlias, cast

import pyarrow as pa
from redis import Redis, RedisCluster
from redis.crc import key_slot
from redis.exceptions import NoScriptError

from transformations.stores.redis.connections import SyncClient
from transformations.stores.redis.idle import TRIES, Attempt, in_time
from transformations.stores.redis.pace import IN_FLIGHT, ROWS_A_CALL, SECONDS_A_PROBE, Pace, Probe
from transformations.stores.redis.wire import BulkStrings, Wire, opening, packed_words

IsRow: TypeAlias = Callable[[Sequence[bytes]], Sequence[bool]]
"""For each stored value, whether it is an intact row, which may keep its place."""

# KEYS: row keys, each once. ARGV: their rows, then the milliseconds until they expire (0: never). Returns how many keys
# held another type than a string, then the positions of the keys whose values did not yield; those shorter than a
# header never do. Headers are compared as integers of 32 bits, which Lua's doubles hold exactly; Lua would compare
# texts by the locale.
WRITE = """
local count, expiry = #KEYS, tonumber(ARGV[#KEYS + 1])
local unpack_header = struct.unpack
-- The last bit of `mark` says whether a row was pushed, the others are its schema number.
local stored = redis.call('MGET', unpack(KEYS))
local pairs, last, absent, result = {}, 0, {}, {0}
for i = 1, count do
    local row, old = ARGV[i], stored[i]
    local wins = true
    if not old then
        absent[#absent + 1] = KEYS[i]
    elseif #old < 18 then
        wins = false
    else
        local e1, e2, c1, c2, mark = unpack_header('>i4I4i4I4I2', row)
        local oe1, oe2, oc1, oc2, old_mark = unpack_header('>i4I4i4I4I2', old)
        if e1 ~= oe1 then wins = e1 > oe1
        elseif e2 ~= oe2 then wins = e2 > oe2
        elseif c1 ~= oc1 then wins = c1 > oc1
        elseif c2 ~= oc2 then wins = c2 > oc2
        else wins = mark >= old_mark - old_mark % 2 end
    end
    if wins then
        pairs[last + 1], pairs[last + 2] = KEYS[i], row
        last = last + 2
    else
        result[#result + 1] = i
    end
end
if #absent > 0 then result[1] = redis.call('EXISTS', unpack(absent)) end
if expiry == 0 then
    if last > 0 then redis.call('MSET', unpack(pairs)) end
else
    for i = 1, last, 2 do redis.call('SET', pairs[i], pairs[i + 1], 'PX', expiry) end
end
return result
"""
# KEYS: a row key. ARGV: the SHA-1 of the value to remove; one written since stays.
_REMOVE = """
local value = redis.call('GET', KEYS[1])
if value and redis.sha1hex(value) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1
"""
_SHA = hashlib.sha1(WRITE.encode(), usedforsecurity=False).hexdigest().encode()

Pair: TypeAlias = tuple[bytes, bytes]
"""A key and its row."""


class Rows:
    """Keys, each once, and their rows: both as columns of bytes, without nulls."""

    def __init__(self, keys: pa.LargeBinaryArray, rows: pa.LargeBinaryArray) -> None:
        self.keys, self.rows = keys, rows

    def __len__(self) -> int:
        return len(self.keys)

    @cached_property
    def pairs(self) -> BulkStrings:
        """Each key with its row behind it."""
        return BulkStrings(self.keys, self.rows)

    @cached_property
    def columns(self) -> tuple[BulkStrings, BulkStrings]:
        """The keys, and the rows."""
        return BulkStrings(self.keys), BulkStrings(self.rows)


class Chunk(NamedTuple):
    """The rows from `first` to `last`, `last` excluded."""

    rows: Rows
    first: int
    last: int

    def pair(self, position: int) -> Pair:
        """One row of the chunk, with its key."""
        place = self.first + position
        return self.rows.keys[place].as_py(), self.rows.rows[place].as_py()

    def pairs(self) -> list[Pair]:
        """All rows of the chunk, with their keys."""
        part = slice(self.first, self.last)
        return list(zip(self.rows.keys[part].to_pylist(), self.rows.rows[part].to_pylist(), strict=True))


def write_rows(client: SyncClient, rows: Iterable[Pair], expiry_ms: int, is_row: IsRow) -> int:
    """Write rows, each key once, and wait for Redis. Returns how many values that were no rows were replaced."""
    if isinstance(client, RedisCluster):
        return sum(_write_pairs(client, pairs, expiry_ms, is_row) for pairs in _batches(rows))
    with Writer(client, expiry_ms, is_row) as writer:
        for pairs in _batches(rows):
            keys, values = (pa.array(column, pa.large_binary()) for column in zip(*pairs, strict=True))
            writer.write(Chunk(Rows(keys, values), 0, len(pairs)))
    return writer.replaced


class Writer:
    """Writes chunk after chunk over one connection to a single node, some in flight while the next is being made.

    assume_new: Redis most likely lacks the keys: MSETNX writes them at a third of the script's cost; from the first key
    that does exist, the script decides. replaced: how many values were replaced that were no rows.
    """

    def __init__(self, client: Redis, expiry_ms: int, is_row: IsRow, assume_new: bool = False) -> None:
        self.most_in_flight = IN_FLIGHT
        self.replaced = 0
        self._client, self._is_row = client, is_row
        self._wire = Wire(client)
        self._expiry_ms = expiry_ms
        self._assume_new = assume_new and not expiry_ms
        self._in_flight: deque[tuple[bool, Chunk]] = deque()

    def __enter__(self) -> Writer:
        """Connect; redis-py's TimeoutError if that, its repetitions included, takes longer than they may."""
        seconds = self._client.connection_pool.connection_kwargs.get("socket_timeout")
        if seconds is None:
            self._wire.connect()
        else:  # a greeting consists of several answers, and redis-py counts each piece of one anew
            Attempt(self._wire.connect).wait(monotonic() + TRIES * seconds, abandon=self._wire.close)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            while kind is None and self._in_flight:
                self._settle()
        finally:
            self._wire.close()

    def write(self, chunk: Chunk) -> None:
        """Send a chunk; waits for an earlier one where enough are in flight."""
        self._send(self._assume_new, chunk)
        while len(self._in_flight) >= self.most_in_flight:
            self._settle()

    def _send(self, is_new: bool, chunk: Chunk) -> None:
        rows, first, last = chunk
        count = last - first
        if is_new:
            self._wire.send_packed(opening(1 + 2 * count, b"MSETNX"), rows.pairs.part(first, last))
        else:
            begin = opening(4 + 2 * count, b"EVALSHA", _SHA, b"%d" % count)
            columns = (column.part(first, last) for column in rows.columns)
            self._wire.send_packed(begin, *columns, packed_words(b"%d" % self._expiry_ms))
        self._in_flight.append((is_new, chunk))

    def _settle(self) -> None:
        is_new, chunk = self._in_flight.popleft()
        try:
            answer = self._wire.receive()
        except NoScriptError:
            self._in_flight.appendleft((is_new, chunk))
            self._load_script()
            return
        if not is_new:
            kept = [chunk.pair(position - 1) for position in answer[1:]]
            self.replaced += answer[0] + _replace_damaged(self._client, kept, self._expiry_ms, self._is_row)
        elif not answer:
            self._assume_new = False
            self._send(False, chunk)

    def _load_script(self) -> None:
        """Load the script and send what was in flight again; to write some of it twice changes nothing."""
        again = list(self._in_flight)
        for _ in again[1:]:  # the first one's answer has come
            try:
                self._wire.receive()
            except NoScriptError:
                continue
        self._wire.send(b"SCRIPT", b"LOAD", WRITE)
        self._wire.receive()
        self._in_flight.clear()
        for is_new, chunk in again:
            self._send(is_new, chunk)


class BulkWriter:
    """Writes a view's rows as they come, to a node or a cluster, in calls small enough to leave room for lookups.

    From time to time it asks Redis for its statistics, which takes as long as a lookup would. While there are lookups,
    Redis gets one small call at a time and rests after each for as long as it took. If lookups still wait too long,
    calls get even smaller.
    """

    def __init__(
        self,
        client: SyncClient,
        expiry_ms: int,
        is_row: IsRow,
        is_empty: bool,
        *,
        clock: Callable[[], float] = monotonic,
        rest: Callable[[float], object] = sleep,
    ) -> None:
        self.pace = Pace()
        self._clock, self._rest = clock, rest
        self._client = client
        self._expiry_ms = expiry_ms
        self._is_row = is_row
        self._replaced = 0
        self._writer = None if isinstance(client, RedisCluster) else Writer(client, expiry_ms, is_row, is_empty)
        self._probe = None if isinstance(client, RedisCluster) else Probe(client)
        self._next_probe = 0.0

    def __enter__(self) -> BulkWriter:
        if self._writer:
            self._writer.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        if self._probe:
            self._probe.close()
        if self._writer:
            self._writer.__exit__(*error)

    @property
    def replaced(self) -> int:
        """How many values were replaced that were no rows; complete once the writer is closed."""
        return self._writer.replaced if self._writer else self._replaced

    def write(self, rows: Rows) -> None:
        """Write all these rows."""
        first = 0
        while first < len(rows):
            if self._writer and self._probe and self._clock() >= self._next_probe:
                self._adapt(self._writer, self._probe)
            began, chunk = self._clock(), Chunk(rows, first, min(first + self.pace.rows_a_call, len(rows)))
            if self._writer:
                self._writer.write(chunk)
            else:
                self._replaced += _write_pairs(self._client, chunk.pairs(), self._expiry_ms, self._is_row)
            if self.pace.is_beside_lookups:
                self._rest(self._clock() - began)
            first = chunk.last

    def _adapt(self, writer: Writer, probe: Probe) -> None:
        began = self._clock()
        has_seen_lookups = probe.has_seen_lookups()
        now = self._clock()
        self.pace.adapt(began, now, has_seen_lookups=has_seen_lookups)
        writer.most_in_flight = self.pace.most_in_flight
        self._next_probe = now + SECONDS_A_PROBE


def _batches(rows: Iterable[Pair]) -> Iterator[list[Pair]]:
    left = iter(rows)
    while batch := list(islice(left, ROWS_A_CALL)):
        yield batch


def _write_pairs(client: SyncClient, pairs: Sequence[Pair], expiry_ms: int, is_row: IsRow) -> int:
    """Write rows, one call of the script per hash slot and one round trip per node; return how many non-rows were
    replaced.
    """
    by_slot: dict[int, list[Pair]] = {}
    for key, row in pairs:
        by_slot.setdefault(key_slot(key), []).append((key, row))
    answers = _call_script(client, list(by_slot.values()), expiry_ms)
    kept = [
        some[position - 1] for some, answer in zip(by_slot.values(), answers, strict=True) for position in answer[1:]
    ]
    return sum(answer[0] for answer in answers) + _replace_damaged(client, kept, expiry_ms, is_row)


def _call_script(client: SyncClient, calls: Sequence[Sequence[Pair]], expiry_ms: int) -> list[list[int]]:
    for is_last in (False, True):
        try:
            with client.pipeline(transaction=False) as pipe:
                for pairs in calls:
                    arguments = [*(key for key, _ in pairs), *(row for _, row in pairs), expiry_ms]
                    pipe.execute_command("EVALSHA", _SHA, len(pairs), *cast("list[str]", arguments))
                return cast("list[list[int]]", in_time(client, pipe.execute))
        except NoScriptError:
            if is_last:
                raise
            in_time(client, partial(client.script_load, WRITE))
    raise AssertionError("unreachable")


def _replace_damaged(client: SyncClient, kept: Sequence[Pair], expiry_ms: int, is_row: IsRow) -> int:
    """Write these rows, which did not win, over stored values that are no intact rows; return how many there were."""
    if not kept:
        return 0
    with client.pipeline(transaction=False) as pipe:
        for key, _ in kept:
            pipe.get(cast("str", key))  # not MGET, which the probe takes for lookups
        values = in_time(client, partial(pipe.execute, raise_on_error=False))
    found = [(pair, value) for pair, value in zip(kept, values, strict=True) if isinstance(value, bytes)]
    flags = is_row([value for _, value in found])
    damaged = [each for each, is_intact in zip(found, flags, strict=True) if not is_intact]
    for (key, _), value in damaged:
        of_value = hashlib.sha1(value, usedforsecurity=False).hexdigest()
        in_time(client, partial(client.eval, _REMOVE, 1, *cast("list[str]", [key, of_value])))
    again = [pair for pair, _ in damaged]
    return len(again) + (_write_pairs(client, again, expiry_ms, is_row) if again else 0)
