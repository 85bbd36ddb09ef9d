"""Rows as Feast's own Redis store keeps them: a hash for each entity, which holds the values of all its views.

A key is the entity key in Feast's form with the project's name behind it. A view's field `_ts:<view>` holds the event
timestamp; each feature has a field named by a hash of 32 bits of `<view>:<feature>` (online_stores/redis.py).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

import mmh3
from feast.infra.key_encoding_utils import deserialize_entity_key, serialize_entity_key
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from google.protobuf.timestamp_pb2 import Timestamp

from transformations.stores.redis.idle import in_time
from transformations.stores.redis.scanning import scan

if TYPE_CHECKING:
    from transformations.stores.redis.connections import SyncClient

_STAMP = b"_ts:"
_OURS = b"{features}:"  # the catalogue's keys, which end with a project, too
KEYS_A_STEP = 500  # held in memory at once
# KEYS: a hash. ARGV: its fields, each with its value behind it. Removes it if it still holds these and nothing else.
_REMOVE_UNCHANGED = """
if redis.call('HLEN', KEYS[1]) * 2 ~= #ARGV then return 0 end
for i = 1, #ARGV, 2 do
    if redis.call('HGET', KEYS[1], ARGV[i]) ~= ARGV[i + 1] then return 0 end
end
return redis.call('UNLINK', KEYS[1])
"""


@dataclass(frozen=True)
class StockHash:
    """What stock Feast holds of one entity: the fields of all its views."""

    key: bytes
    entity: EntityKey
    fields: Mapping[bytes, bytes]

    @property
    def views(self) -> list[str]:
        """The views that it has a row of."""
        return [name[len(_STAMP) :].decode(errors="replace") for name in self.fields if name.startswith(_STAMP)]

    def row(self, view: str, features: Sequence[str]) -> tuple[datetime, dict[str, Value]]:
        """A view's event timestamp and values; a feature that has none is left out. DecodeError if it is none."""
        stamp = Timestamp.FromString(self.fields[_STAMP + view.encode()])
        values = {name: self.fields.get(_field_name(view, name)) for name in features}
        found = {name: Value.FromString(value) for name, value in values.items() if value is not None}
        return stamp.ToDatetime(UTC), found


@dataclass(frozen=True)
class ForeignHash:
    """A hash whose key ends like the project's, and is none of this form: another project's, or of an older form."""

    key: bytes


def stock_hashes(client: SyncClient, project: str) -> Iterator[list[StockHash | ForeignHash]]:
    """Everything that stock Feast holds of a project, in portions. What is written meanwhile may be among it."""
    ending = project.encode()
    pattern = "*" + re.sub(r"([*?\[\]\\])", r"\\\1", project)
    for keys in scan(client, pattern, KEYS_A_STEP, "HASH"):
        with client.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.hgetall(cast("str", key))
            hashes = in_time(client, pipe.execute)
        yield [
            ForeignHash(key) if (entity := _entity_of(key[: -len(ending)])) is None else StockHash(key, entity, fields)
            for key, fields in zip(keys, hashes, strict=True)
            if fields and not key.startswith(_OURS)
        ]


def remove_unchanged(client: SyncClient, hashes: Sequence[StockHash]) -> int:
    """Remove the hashes that hold what was read and nothing else; returns how many these were."""
    with client.pipeline(transaction=False) as pipe:
        for each in hashes:
            pairs = [part for pair in each.fields.items() for part in pair]
            pipe.execute_command("EVAL", _REMOVE_UNCHANGED, 1, each.key, *pairs)
        return sum(cast("list[int]", in_time(client, pipe.execute)))


def _field_name(view: str, feature: str) -> bytes:
    return mmh3.hash(f"{view}:{feature}", signed=False).to_bytes(4, "little")


def _entity_of(key: bytes) -> EntityKey | None:
    """The entity of a key without its project; None for bytes that no entity is written as."""
    try:
        entity: EntityKey = deserialize_entity_key(key, entity_key_serialization_version=3)
        again = serialize_entity_key(entity, entity_key_serialization_version=3)
    except (ValueError, TypeError, struct.error):
        return None
    return entity if again == key else None
