"""What the online store was last loaded with, noted in Redis beside the rows: a flushed store says so itself."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

from transformations.engine.settings import Settings
from transformations.stores.connections import reaching

if TYPE_CHECKING:
    from feast import FeatureStore
    from redis import Redis, RedisCluster


@dataclass(frozen=True)
class Loaded:
    """One view's last materialization: the version of its table (None for a source of plain files), its END in UTC."""

    version: int | None
    end: datetime
    rows: int


def record(client: Redis | RedisCluster, project: str, view: str, loaded: Loaded) -> None:
    """Note that a view has been loaded; call it when all rows are there."""
    facts = {"version": loaded.version, "end": loaded.end.isoformat(), "rows": loaded.rows}
    client.hset(_key(project), view, json.dumps(facts))


def forget(client: Redis | RedisCluster, project: str, view: str) -> None:
    """Note that a view's rows are gone."""
    client.hdel(_key(project), view)


def loaded_views(store: FeatureStore, settings: Settings) -> dict[str, Loaded]:
    """What each view was last loaded with; views never loaded are absent.

    The project's own Redis is not started for it while it has no data. ServiceUnavailableError where Redis does not
    answer.
    """
    is_own = not getattr(store.config.online_store, "connection_string", "") and settings.redis_url is None
    if is_own and not (settings.redis_dir / "appendonlydir").is_dir():
        return {}
    online: Any = store._get_provider().online_store
    with reaching(store.config.online_store):
        client = online._get_client(store.config.online_store)
        found = cast("dict[bytes, bytes]", client.hgetall(_key(store.project)))
    return {view.decode(): _loaded(json.loads(facts)) for view, facts in found.items()}


def _loaded(facts: dict[str, Any]) -> Loaded:
    return Loaded(facts["version"], datetime.fromisoformat(facts["end"]), facts["rows"])


def _key(project: str) -> str:
    return f"features:loaded:{project}"
