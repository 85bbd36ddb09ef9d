"""Removes the rows of tables that belong to no view, without keeping Redis from other work.

SCAN finds their keys in bounded steps, and UNLINK frees them in the server's background.
"""

from __future__ import annotations

from functools import partial
from typing import cast

from redis import RedisCluster

from transformations.stores.redis.catalogue import forget_leftovers, leftovers
from transformations.stores.redis.connections import SyncClient
from transformations.stores.redis.idle import in_time
from transformations.stores.redis.scanning import scan
from transformations.stores.redis.writes import IsRow, write_rows
from transformations.stores.rows.packed_rows import HEADER, PUSHED

_ROW_KEYS = "{*}*"
_KEYS_A_STEP = 1_000


def unlink_leftovers(client: SyncClient) -> int:
    """Unlink the rows of all leftover tables and count them. If stopped halfway, call it again."""
    numbers = leftovers(client)
    if not numbers:
        return 0
    dead, unlinked = frozenset(numbers), 0
    width = len(numbers[0])
    for keys in scan(client, _ROW_KEYS, _KEYS_A_STEP):
        gone = [key for key in keys if key[-width - 1 : -width] == b"}" and key[-width:] in dead]
        if gone:
            _unlink(client, gone)
            unlinked += len(gone)
    forget_leftovers(client, numbers)
    return unlinked


def carry_pushed(client: SyncClient, number: bytes, to: bytes, is_row: IsRow) -> None:
    """Copy intact pushed rows, which the offline table lacks, from one table to another wherever they are newest."""
    width = len(number)
    for keys in scan(client, _ROW_KEYS, _KEYS_A_STEP):
        tags = [key[:-width] for key in keys if key[-width:] == number and key[-width - 1 : -width] == b"}"]
        with client.pipeline(transaction=False) as pipe:
            for tag in tags:
                pipe.getrange(cast("str", tag + number), 0, HEADER.size - 1)
            headers = in_time(client, partial(pipe.execute, raise_on_error=False))  # a list or a hash has none
        pushed = [tag for tag, header in zip(tags, headers, strict=True) if _is_of_pushed(header)]
        with client.pipeline(transaction=False) as pipe:
            for tag in pushed:
                pipe.get(cast("str", tag + number))
                pipe.pttl(cast("str", tag + number))
            found = in_time(client, pipe.execute)
        for tag, row, left in zip(pushed, found[::2], found[1::2], strict=True):
            if row is not None and all(is_row([row])):
                write_rows(client, [(tag + to, row)], max(left, 0), is_row)


def _is_of_pushed(header: object) -> bool:
    return isinstance(header, bytes) and len(header) == HEADER.size and bool(header[-1] & PUSHED)


def _unlink(client: SyncClient, keys: list[bytes]) -> None:
    if isinstance(client, RedisCluster):
        with client.pipeline(transaction=False) as pipe:  # type: ignore[no-untyped-call]
            for key in keys:
                pipe.unlink(cast("str", key))
            in_time(client, pipe.execute)
    else:
        in_time(client, partial(client.unlink, *cast("list[str]", keys)))
