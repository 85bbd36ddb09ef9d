"""Writing packed rows: newest wins, decided in Redis, so that writers need not know of each other.

A row replaces the stored one when its (event timestamp, created timestamp, schema number) is equal or greater. Retries,
parallel writers, late corrections and backfilled features therefore all end in the same state.
"""

from __future__ import annotations

import hashlib
import re
from collections import deque
from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import islice
from time import monotonic, sleep
from typing import Any, NamedTuple, TypeAlias, cast

import pyarrow as pa
from redis import Redis, RedisCluster
from redis.crc import key_slot
from redis.exceptions import NoScriptError, ResponseError

from transformations.stores.redis.wire import BulkStrings, Wire, opening, packed_words

SyncClient: TypeAlias = Redis | RedisCluster
ROWS_A_CALL = 250
"""A script holds Redis for as long as it runs, and lookups wait for it: some 3 µs a row."""

# KEYS: row keys, each once. ARGV: their rows, then the milliseconds until they expire (0: never).
# Headers are compared as integers of 32 bits, which Lua's doubles hold exactly; Lua would compare texts by the locale.
WRITE = """
local count, expiry = #KEYS, tonumber(ARGV[#KEYS + 1])
local unpack_header = struct.unpack
-- The last bit of `mark` says whether a row was pushed, the others are its schema number.
local stored = redis.call('MGET', unpack(KEYS))
local pairs, last = {}, 0
for i = 1, count do
    local row, old = ARGV[i], stored[i]
    local wins = true
    if old then
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
    end
end
if expiry == 0 then
    if last > 0 then redis.call('MSET', unpack(pairs)) end
else
    for i = 1, last, 2 do redis.call('SET', pairs[i], pairs[i + 1], 'PX', expiry) end
end
return last / 2
"""
_CALLS = re.compile(rb"cmdstat_(mget|evalsha):calls=(\d+)")
_SHA = hashlib.sha1(WRITE.encode(), usedforsecurity=False).hexdigest().encode()
_IN_FLIGHT = 64  # so that Redis has something to do while the next batch is packed
_SECONDS_A_PROBE = 0.05
_LONG_SECONDS = 0.001
# Beside lookups: no more than one call at a time, of so many rows, for so long after the last lookup was seen.
_FEWEST_ROWS_BESIDE_LOOKUPS, _MOST_ROWS_BESIDE_LOOKUPS = 50, 100
_SECONDS_BESIDE_LOOKUPS = 1.0


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
    """Some of the rows, `last` excluded."""

    rows: Rows
    first: int
    last: int


def write_rows(client: SyncClient, rows: Iterable[tuple[bytes, bytes]], expiry_ms: int) -> None:
    """Write rows, each key once, and return when Redis has them all."""
    chunks = _chunks(rows)
    if isinstance(client, RedisCluster):
        for chunk in chunks:
            _write_to_cluster(client, chunk, expiry_ms)
        return
    with Writer(client, expiry_ms) as writer:
        for chunk in chunks:
            writer.write(chunk)


class Writer:
    """Writes chunk after chunk over one connection of a single node, some in flight while the next is being made.

    assume_new: chunks of keys that Redis most likely has not: MSETNX writes those at once and at a third of the
    script's cost; from the first key on that it does have, the script decides.
    """

    def __init__(self, client: Redis, expiry_ms: int, assume_new: bool = False) -> None:
        self.most_in_flight = _IN_FLIGHT
        self._wire = Wire(client)
        self._expiry_ms = expiry_ms
        self._assume_new = assume_new and not expiry_ms
        self._in_flight: deque[tuple[bool, Chunk]] = deque()

    def __enter__(self) -> Writer:
        self._wire.connect()
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
            self._wire.send_packed([opening(1 + 2 * count, b"MSETNX"), rows.pairs.part(first, last)])
        else:
            begin = opening(4 + 2 * count, b"EVALSHA", _SHA, b"%d" % count)
            columns = (column.part(first, last) for column in rows.columns)
            self._wire.send_packed([begin, *columns, packed_words(b"%d" % self._expiry_ms)])
        self._in_flight.append((is_new, chunk))

    def _settle(self) -> None:
        is_new, chunk = self._in_flight.popleft()
        try:
            answer = self._wire.receive()
        except NoScriptError:
            self._in_flight.appendleft((is_new, chunk))
            self._load_script()
            return
        if is_new and not answer:
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
        self._wire.send((b"SCRIPT", b"LOAD", WRITE))
        self._wire.receive()
        self._in_flight.clear()
        for is_new, chunk in again:
            self._send(is_new, chunk)


class BulkWriter:
    """Writes a view's rows as they come, to a node or a cluster, in calls of a size that leaves room for lookups.

    Now and then it asks Redis what it has done, in the place of a lookup. While there are lookups, Redis gets small
    calls, one after another, and rests after each for as long as it took. While lookups have to wait long all the same,
    calls get smaller still.
    """

    def __init__(self, client: SyncClient, expiry_ms: int, is_empty: bool) -> None:
        self._client = client
        self._expiry_ms = expiry_ms
        self._writer = None if isinstance(client, RedisCluster) else Writer(client, expiry_ms, assume_new=is_empty)
        self._probe = None if isinstance(client, RedisCluster) else Probe(client)
        self._size = ROWS_A_CALL
        self._next_probe = 0.0
        self._until: float | None = None
        self._is_beside_lookups = False

    def __enter__(self) -> BulkWriter:
        if self._writer:
            self._writer.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        if self._probe:
            self._probe.close()
        if self._writer:
            self._writer.__exit__(*error)

    def write(self, rows: Rows) -> None:
        """Write them all."""
        first = 0
        while first < len(rows):
            if self._writer and self._probe and monotonic() >= self._next_probe:
                self._adapt(self._writer, self._probe)
            began, chunk = monotonic(), Chunk(rows, first, min(first + self._size, len(rows)))
            if self._writer:
                self._writer.write(chunk)
            else:
                assert isinstance(self._client, RedisCluster)
                _write_to_cluster(self._client, chunk, self._expiry_ms)
            if self._is_beside_lookups:
                sleep(monotonic() - began)
            first = chunk.last

    def _adapt(self, writer: Writer, probe: Probe) -> None:
        began = monotonic()
        if self._until is None:  # there are lookups until it is known better, however late the first rows come
            self._until = began + 2 * _SECONDS_A_PROBE
        if probe.has_seen_lookups():
            self._until = began + _SECONDS_BESIDE_LOOKUPS
        now = monotonic()
        self._is_beside_lookups = now < self._until
        writer.most_in_flight = 1 if self._is_beside_lookups else _IN_FLIGHT
        if not self._is_beside_lookups:
            self._size = ROWS_A_CALL
        elif now - began > _LONG_SECONDS:
            self._size = max(_FEWEST_ROWS_BESIDE_LOOKUPS, min(self._size, _MOST_ROWS_BESIDE_LOOKUPS) * 2 // 3)
        else:
            self._size = min(_MOST_ROWS_BESIDE_LOOKUPS, self._size * 5 // 4)
        self._next_probe = now + _SECONDS_A_PROBE


class Probe:
    """Asks a node, over a connection of its own, whether it has answered lookups since it was asked last."""

    def __init__(self, client: Redis) -> None:
        self._wire = Wire(client)
        self._last: int | None = None

    def has_seen_lookups(self) -> bool:
        """Whether there were any; yes where Redis does not tell."""
        self._wire.send((b"INFO", b"commandstats"))
        try:
            told = self._wire.receive()
        except ResponseError:  # a user that may not ask
            return True
        calls = {name: int(count) for name, count in _CALLS.findall(told)}
        # A lookup is an MGET; so is what each call of the script does first.
        lookups = calls.get(b"mget", 0) - calls.get(b"evalsha", 0)
        last, self._last = self._last, lookups
        return last is not None and lookups > last

    def close(self) -> None:
        """Close the connection."""
        self._wire.close()


def _chunks(rows: Iterable[tuple[bytes, bytes]]) -> Iterator[Chunk]:
    left = iter(rows)
    while batch := list(islice(left, ROWS_A_CALL)):
        keys, values = (pa.array(column, pa.large_binary()) for column in zip(*batch, strict=True))
        yield Chunk(Rows(keys, values), 0, len(batch))


def _write_to_cluster(client: RedisCluster, chunk: Chunk, expiry_ms: int) -> None:
    """One call of the script a hash slot, all in one round trip a node."""
    rows, part = chunk.rows, slice(chunk.first, chunk.last)
    by_slot: dict[int, list[tuple[bytes, bytes]]] = {}
    for key, row in zip(rows.keys[part].to_pylist(), rows.rows[part].to_pylist(), strict=True):
        by_slot.setdefault(key_slot(key), []).append((key, row))
    for attempt in range(2):
        try:
            with client.pipeline(transaction=False) as pipe:  # type: ignore[no-untyped-call]
                for pairs in by_slot.values():
                    arguments = [*(key for key, _ in pairs), *(row for _, row in pairs), expiry_ms]
                    pipe.execute_command("EVALSHA", _SHA, len(pairs), *cast("list[str]", arguments))
                pipe.execute()
            return
        except NoScriptError:
            if attempt:
                raise
            client.script_load(WRITE)
