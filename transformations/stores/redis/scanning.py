"""Walks over the keys of Redis in bounded steps."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, cast

from redis import RedisCluster

from transformations.stores.redis.connections import SyncClient
from transformations.stores.redis.idle import in_time


def scan(client: SyncClient, pattern: str, count: int, kind: str | None = None) -> Iterator[list[bytes]]:
    """The keys that match a pattern, of every node, in portions of about `count`; a key may come twice.

    kind: a type of Redis, as HASH. Each step has one deadline for all pieces of its answer; the whole walk has none,
    for it takes as long as there are keys. redis-py's TimeoutError at a step's deadline.
    """
    for where in _nodes(client):
        cursor = 0
        while True:
            step = partial(client.scan, cursor, match=pattern, count=count, _type=kind, **where)
            found, keys = cast("tuple[Any, list[bytes]]", in_time(client, step))
            if keys:
                yield keys
            # A cluster tells the cursor by the name of its node.
            cursor = next(iter(found.values())) if isinstance(found, dict) else int(found)
            if not cursor:
                break


def _nodes(client: SyncClient) -> list[dict[str, Any]]:
    """Each node that holds keys, as redis-py's commands take it."""
    if isinstance(client, RedisCluster):
        return [{"target_nodes": node} for node in client.get_primaries()]  # type: ignore[no-untyped-call]
    return [{}]
