"""Writing packed rows: newest wins, decided in Redis, so that writers need not know of each other.

A row replaces the stored one when its (event timestamp, created timestamp, schema number) is equal or greater. Retries,
parallel writers, late corrections and backfilled features therefore all end in the same state.
"""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any, TypeAlias, cast

from redis import Redis, RedisCluster
from redis.exceptions import NoScriptError

from transformations.stores.online_keys import slot_of
from transformations.stores.wire import Wire

SyncClient: TypeAlias = Redis | RedisCluster
Chunk: TypeAlias = tuple[Sequence[bytes], Sequence[bytes]]
"""Keys, each once, and their rows."""

ROWS_A_CALL = 250
"""A script holds Redis for as long as it runs, and lookups wait for it: some 3 µs a row."""

# KEYS: row keys, each once. ARGV: their rows, then the milliseconds until they expire (0: never).
# Headers are compared as integers of 32 bits, which Lua's doubles hold exactly; Lua would compare texts by the locale.
WRITE = """
local count, expiry = #KEYS, tonumber(ARGV[#KEYS + 1])
local unpack_header = struct.unpack
local stored = redis.call('MGET', unpack(KEYS))
local pairs, last = {}, 0
for i = 1, count do
    local row, old = ARGV[i], stored[i]
    local wins = true
    if old then
        local e1, e2, c1, c2, s = unpack_header('>i4I4i4I4I2', row)
        local oe1, oe2, oc1, oc2, os = unpack_header('>i4I4i4I4I2', old)
        if e1 ~= oe1 then wins = e1 > oe1
        elseif e2 ~= oe2 then wins = e2 > oe2
        elseif c1 ~= oc1 then wins = c1 > oc1
        elseif c2 ~= oc2 then wins = c2 > oc2
        else wins = s >= os end
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
_SHA = hashlib.sha1(WRITE.encode(), usedforsecurity=False).hexdigest().encode()
_IN_FLIGHT = 4
_ROWS_A_PROBE = 5_000
_LONG_SECONDS = 0.001
_FEWEST_ROWS, _MOST_ROWS = 50, 1_000


def write_rows(client: SyncClient, rows: Iterable[tuple[bytes, bytes]], expiry_ms: int) -> None:
    """Write rows, each key once, and return when Redis has them all."""
    chunks = _chunks(rows)
    if isinstance(client, RedisCluster):
        for keys, values in chunks:
            _write_to_cluster(client, keys, values, expiry_ms)
        return
    with Writer(client, expiry_ms) as writer:
        for keys, values in chunks:
            writer.write(keys, values)


class Writer:
    """Writes chunk after chunk over one connection of a single node, some in flight while the next is being made.

    assume_new: chunks of keys that Redis most likely has not: MSETNX writes those at once and at a third of the
    script's cost; from the first key on that it does have, the script decides.
    """

    def __init__(self, client: Redis, expiry_ms: int, assume_new: bool = False) -> None:
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

    def write(self, keys: Sequence[bytes], rows: Sequence[bytes]) -> None:
        """Send a chunk; waits for an earlier one where enough are in flight."""
        self._send(self._assume_new, (keys, rows))
        if len(self._in_flight) >= _IN_FLIGHT:
            self._settle()

    def _send(self, is_new: bool, chunk: Chunk) -> None:
        keys, rows = chunk
        if is_new:
            self._wire.send((b"MSETNX", *chain.from_iterable(zip(keys, rows, strict=True))))
        else:
            self._wire.send((b"EVALSHA", _SHA, len(keys), *keys, *rows, self._expiry_ms))
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

    Now and then it asks Redis for a sign of life, as a lookup would; while that takes long, its calls get smaller.
    """

    def __init__(self, client: SyncClient, expiry_ms: int, is_empty: bool) -> None:
        self._client = client
        self._expiry_ms = expiry_ms
        self._writer = None if isinstance(client, RedisCluster) else Writer(client, expiry_ms, assume_new=is_empty)
        self._probe = None if isinstance(client, RedisCluster) else Wire(client)
        self._size = ROWS_A_CALL
        self._unprobed = 0

    def __enter__(self) -> BulkWriter:
        if self._writer:
            self._writer.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        if self._probe:
            self._probe.close()
        if self._writer:
            self._writer.__exit__(*error)

    def write(self, keys: Sequence[bytes], rows: Sequence[bytes]) -> None:
        """Write rows, each key once."""
        first = 0
        while first < len(keys):
            last = first + self._size
            chunk = keys[first:last], rows[first:last]
            if self._writer:
                self._writer.write(*chunk)
                self._adapt(len(chunk[0]))
            else:
                assert isinstance(self._client, RedisCluster)
                _write_to_cluster(self._client, *chunk, self._expiry_ms)
            first = last

    def _adapt(self, written: int) -> None:
        self._unprobed += written
        if self._unprobed < _ROWS_A_PROBE or self._probe is None:
            return
        self._unprobed = 0
        began = time.perf_counter()
        self._probe.send((b"PING",))
        self._probe.receive()
        waited = time.perf_counter() - began
        if waited > _LONG_SECONDS:
            self._size = max(_FEWEST_ROWS, self._size * 2 // 3)
        elif waited < _LONG_SECONDS / 2:
            self._size = min(_MOST_ROWS, self._size * 5 // 4)


def _chunks(rows: Iterable[tuple[bytes, bytes]]) -> Iterator[Chunk]:
    left = iter(rows)
    while batch := list(islice(left, ROWS_A_CALL)):
        yield [key for key, _ in batch], [row for _, row in batch]


def _write_to_cluster(client: RedisCluster, keys: Sequence[bytes], rows: Sequence[bytes], expiry_ms: int) -> None:
    """One call of the script a hash slot, all in one round trip a node."""
    by_slot: dict[int, list[tuple[bytes, bytes]]] = {}
    for key, row in zip(keys, rows, strict=True):
        by_slot.setdefault(slot_of(key), []).append((key, row))
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
