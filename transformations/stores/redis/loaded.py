"""Records of what the online store was loaded with, kept in Redis beside the rows: a flushed store has none.

The record of a view is the cursor of its next materialization: what came after it is new. Each run also records what it
is about to load, so that if it is killed, the next one knows which rows may lie in Redis beyond the cursor.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

from transformations.engine.base.errors import DataError
from transformations.engine.base.settings import Settings
from transformations.stores.base.feast_seams import online_client
from transformations.stores.redis.connections import Reaching, SyncClient
from transformations.stores.redis.idle import in_time, within
from transformations.stores.rows.packed_rows import FORM

if TYPE_CHECKING:
    from feast import FeatureStore


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """One materialization of one view.

    version: of the offline table; None for plain files. end: the latest event timestamp it may have written, in UTC:
    END, or the moment of the run if that was earlier. rows: how many it wrote. table: the number of the online table.
    schema: the rows' schema. definition: the hash of the view's definition. files: plain files with their sizes and
    times of change (nanoseconds). complete_until: the event timestamp up to which the offline table was complete; None
    if the source does not say. source: a digest of how the source is read and of the files behind its version.
    replaced: how many values were replaced that were no intact rows.
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
        """The moment up to which the online store is complete."""
        return self.end if self.complete_until is None else min(self.end, self.complete_until)


def record(client: SyncClient, project: str, view: str, loaded: Loaded) -> None:
    """Record that a view has been loaded; call it once all rows are written."""
    facts = json.dumps(asdict(loaded), default=datetime.isoformat)
    in_time(client, partial(client.hset, _record_key(project), view, facts))


def begin(client: SyncClient, project: str, view: str, loaded: Loaded) -> str:
    """Record what a run is about to write, and return the run's id; call it before the first row."""
    run = uuid4().hex
    facts = json.dumps(asdict(loaded), default=datetime.isoformat)
    in_time(client, partial(client.hset, _begun_key(project, view), run, facts))
    return run


def unfinished_loads(client: SyncClient, project: str, view: str) -> dict[str, Loaded]:
    """By id, what runs are writing, or were writing when they were killed."""
    found = cast("dict[bytes, bytes]", in_time(client, partial(client.hgetall, _begun_key(project, view))))
    return {run.decode(): _parse_record(facts, _begun_key(project, view), run.decode()) for run, facts in found.items()}


def conclude(client: SyncClient, project: str, view: str, runs: Iterable[str]) -> None:
    """Forget these runs: what they wrote is covered by the view's record, or hidden."""
    in_time(client, partial(client.hdel, _begun_key(project, view), *runs))


def forget(client: SyncClient, project: str, view: str) -> None:
    """Forget a view whose rows are gone."""
    in_time(client, partial(client.hdel, _record_key(project), view))
    in_time(client, partial(client.delete, _begun_key(project, view)))


def last_loaded(client: SyncClient, project: str, view: str) -> Loaded | None:
    """A view's last load; None if it was never loaded."""
    facts = cast("bytes | None", in_time(client, partial(client.hget, _record_key(project), view)))
    return None if facts is None else _parse_record(facts, _record_key(project), view)


def loaded_views(store: FeatureStore, settings: Settings) -> dict[str, Loaded]:
    """The last load of each view that was ever loaded.

    Does not start the project's own Redis if that has no data yet. ServiceUnavailableError if Redis does not answer.
    """
    is_own = not getattr(store.config.online_store, "connection_string", "") and settings.redis_url is None
    if is_own and not (settings.redis_dir / "appendonlydir").is_dir():
        return {}
    with Reaching(store.config.online_store):
        client = online_client(store)
        key = _record_key(store.project)
        found = cast("dict[bytes, bytes]", within(settings.redis_write_timeout_ms, lambda: client.hgetall(key)))
    return {view.decode(): _parse_record(facts, key, view.decode()) for view, facts in found.items()}


def _parse_record(text: bytes, key: str, field: str) -> Loaded:
    """A record as it was written; DataError, naming its place in Redis, where it is none."""
    try:
        facts: dict[str, Any] = json.loads(text)
        files = {path: (size, changed) for path, (size, changed) in facts["files"].items()}
        until = facts.get("complete_until")
        moments = {
            "end": datetime.fromisoformat(facts["end"]),
            "complete_until": datetime.fromisoformat(until) if until else None,
        }
        return Loaded(**{**facts, **moments, "files": files})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"the record of a load in Redis cannot be read ({error!r}): {text[:80]!r}. Remove it (HDEL {key} {field}), "
            f"and load the view anew: `feast materialize`."
        ) from error


def _record_key(project: str) -> str:
    return f"{{features}}:loaded:{FORM}:{project}"


def _begun_key(project: str, view: str) -> str:
    return f"{{features}}:begun:{FORM}:{project}:{view}"
