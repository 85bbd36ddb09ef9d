"""What the online store was last loaded with, noted in Redis beside the rows: a flushed store says so itself.

The note is also the cursor of the next materialization: what came after it is new. A run that has begun says what it
loads before its first row: if it is killed, the next one knows what may lie in Redis beyond the cursor.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

from transformations.engine.base.settings import Settings
from transformations.stores.base.feast_seams import online_client
from transformations.stores.redis.connections import Reaching
from transformations.stores.rows.packed_rows import FORM

if TYPE_CHECKING:
    from feast import FeatureStore
    from redis import Redis, RedisCluster


@dataclass(frozen=True)
class Loaded:
    """One view's last materialization.

    version: of its offline table, None for a source of plain files. end: the last moment of which rows were written, in
    UTC: END, or the moment of the run. rows: how many it wrote. table: the number of the online table that they are in.
    schema: the schema they were written under. definition: the hash of the definition behind them. files: of a source
    of plain files each with its size and time of change (in nanoseconds). complete_until: the event timestamp up to
    which its offline table was complete; None where the source does not tell. source: a digest of how its source
    is read and of the files behind a version of it. replaced: how many values that were no intact rows were replaced.
    """

    version: int | None
    end: datetime
    rows: int
    table: str = ""
    schema: str = ""
    definition: str | None = None
    files: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    complete_until: datetime | None = None
    source: str = ""
    replaced: int = 0

    @property
    def complete_through(self) -> datetime:
        """The moment up to which the online store knows all that there is to know."""
        return self.end if self.complete_until is None else min(self.end, self.complete_until)


def record(client: Redis | RedisCluster, project: str, view: str, loaded: Loaded) -> None:
    """Note that a view has been loaded; call it when all rows are there."""
    client.hset(_key(project), view, json.dumps(asdict(loaded), default=datetime.isoformat))


def begin(client: Redis | RedisCluster, project: str, view: str, loaded: Loaded) -> str:
    """Note what a run is about to write, under a name of its own; call it before the first row."""
    run = uuid4().hex
    client.hset(_begun_key(project, view), run, json.dumps(asdict(loaded), default=datetime.isoformat))
    return run


def begun(client: Redis | RedisCluster, project: str, view: str) -> dict[str, Loaded]:
    """What runs are writing, or had written some of when they ended half-way."""
    found = cast("dict[bytes, bytes]", client.hgetall(_begun_key(project, view)))
    return {run.decode(): _loaded(json.loads(facts)) for run, facts in found.items()}


def conclude(client: Redis | RedisCluster, project: str, view: str, runs: Iterable[str]) -> None:
    """Say that what these runs wrote is part of what the view was last loaded with, or hidden."""
    client.hdel(_begun_key(project, view), *runs)


def forget(client: Redis | RedisCluster, project: str, view: str) -> None:
    """Note that a view's rows are gone."""
    client.hdel(_key(project), view)
    client.delete(_begun_key(project, view))


def last_loaded(client: Redis | RedisCluster, project: str, view: str) -> Loaded | None:
    """What a view was last loaded with; None where it never was."""
    facts = cast("bytes | None", client.hget(_key(project), view))
    return None if facts is None else _loaded(json.loads(facts))


def loaded_views(store: FeatureStore, settings: Settings) -> dict[str, Loaded]:
    """What each view was last loaded with; views never loaded are absent.

    The project's own Redis is not started for it while it has no data. ServiceUnavailableError where Redis does not
    answer.
    """
    is_own = not getattr(store.config.online_store, "connection_string", "") and settings.redis_url is None
    if is_own and not (settings.redis_dir / "appendonlydir").is_dir():
        return {}
    with Reaching(store.config.online_store):
        client = online_client(store)
        found = cast("dict[bytes, bytes]", client.hgetall(_key(store.project)))
    return {view.decode(): _loaded(json.loads(facts)) for view, facts in found.items()}


def _loaded(facts: dict[str, Any]) -> Loaded:
    files = {path: (size, changed) for path, (size, changed) in facts["files"].items()}
    until = facts.get("complete_until")
    moments = {
        "end": datetime.fromisoformat(facts["end"]),
        "complete_until": datetime.fromisoformat(until) if until else None,
    }
    return Loaded(**{**facts, **moments, "files": files})


def _key(project: str) -> str:
    return f"{{features}}:loaded:{FORM}:{project}"


def _begun_key(project: str, view: str) -> str:
    return f"{{features}}:begun:{FORM}:{project}:{view}"
