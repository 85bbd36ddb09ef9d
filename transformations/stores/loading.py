"""One materialization of one view: considers rows, writes them, and records that they are all there."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from feast import FeatureView, FileSource, RepoConfig
from feast.infra.offline_stores.offline_store import OfflineStore
from tqdm import tqdm  # type: ignore[import-untyped]

from transformations.engine.base.errors import ConflictError
from transformations.engine.base.moments import MICROSECOND, instant_to_micros
from transformations.engine.base.settings import get_settings
from transformations.engine.base.words import plural
from transformations.stores.base.views import DEFINITION_HASH
from transformations.stores.loads.new_rows import FileRows, PulledRows
from transformations.stores.loads.packing import Packer
from transformations.stores.loads.scope import Scope, decide_scope, is_contained, plain_files, source_digest
from transformations.stores.offline import PointInTimeOfflineStore
from transformations.stores.online import PackedRedisOnlineStore, expiry_ms, online_name, warn_of_replaced
from transformations.stores.redis import catalogue as online_catalog
from transformations.stores.redis.catalogue import row_test
from transformations.stores.redis.connections import Reaching, SyncClient
from transformations.stores.redis.feast_rows import latest_event
from transformations.stores.redis.loaded import Loaded, begin, conclude, last_loaded, record, unfinished_loads
from transformations.stores.redis.unlinking import carry_pushed, unlink_leftovers
from transformations.stores.redis.writes import BulkWriter, IsRow
from transformations.stores.rows.packed_rows import Schema, schema_of

_LOG = logging.getLogger(__name__)
_RENEW_SECONDS = 60.0
_ATTEMPTS = 3


@dataclass(frozen=True, kw_only=True)
class Load:
    """Loads the rows of one view from `start` to `end`, both included, and whatever else is new up to `end`.

    stop: once set by another thread, the run ends with KeyboardInterrupt after the current batch.
    """

    config: RepoConfig
    offline_store: OfflineStore
    online_store: PackedRedisOnlineStore
    view: FeatureView
    start: datetime
    end: datetime
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Write the rows and record that they are there. Whatever was written is right, even if this ends halfway."""
        with Reaching(self.config.online_store):
            client = self.online_store.client(self.config.online_store)
            for _ in range(_ATTEMPTS):
                if self._load_once(client):
                    return
        raise ConflictError(
            f"{self.view.name}: while it was loaded, the online store was flushed, or the view deleted or loaded by "
            f"another run, {_ATTEMPTS} times. Let that come to its end, and repeat the command."
        )

    def _load_once(self, client: SyncClient) -> bool:
        """Whether the rows ended up where lookups read them; not if another run changed the table meanwhile."""
        config, project, name = self.config, self.config.project, online_name(self.view, self.config)
        source = self._choose_source()
        schema = schema_of(self.view.features)
        cursor, others = last_loaded(client, project, name), unfinished_loads(client, project, name)
        known = online_catalog.read_catalog(client, project).tables.get(name)
        definition = self.view.tags.get(DEFINITION_HASH)
        scope = decide_scope(
            cursor,
            others.values(),
            known,
            schema=schema,
            definition=definition,
            history=source.history,
            since_load=source.since,
        )
        if scope.lost:
            _LOG.warning(
                "%s: %s of %s with rows that are new since the last load (version %s) were given up by vacuum: all "
                "rows are loaded.",
                self.view.name,
                len(scope.lost),
                plural(len(scope.new_files), "file"),
                cursor and cursor.version,
            )
        visible, version = self.online_store.table_for_writing(config, self.view, schema)
        if known and known.number != visible:  # what was considered is not what is there
            return False
        number = online_catalog.prepare(client, project) if scope.anew else visible
        loaded = self._describe(source, number, schema, definition)
        run = begin(client, project, name, loaded)
        packer = Packer(self.view, source.history, number, version)
        is_row = row_test(client, project, name, latest_event())
        rows, replaced = self._write(client, source, scope, packer, is_row, is_empty=scope.anew or known is None)
        if scope.anew:
            carry_pushed(client, visible, number, is_row)
            online_catalog.publish(client, project, name, number, visible)
            carry_pushed(client, visible, number, is_row)  # what was pushed in between
        table = online_catalog.read_catalog(client, project).tables.get(name)
        if table is None or table.number != number:
            online_catalog.give_up(client, number)
            return False
        if not self._is_alone(client, source, cursor, others, run, number):
            return False
        record(client, project, name, replace(loaded, rows=rows, replaced=replaced))
        conclude(client, project, name, [*others, run])
        unlink_leftovers(client)
        return True

    def _describe(self, source: FileRows | PulledRows, number: bytes, schema: Schema, definition: str | None) -> Loaded:
        history = source.history
        return Loaded(
            version=history.version,
            end=self.end,
            rows=0,
            table=number.decode(),
            schema=schema.text(),
            definition=definition,
            files=plain_files(history),
            complete_until=history.complete_until,
            source=source_digest(history, history.files),
        )

    def _is_alone(
        self,
        client: SyncClient,
        source: FileRows | PulledRows,
        cursor: Loaded | None,
        others: Mapping[str, Loaded],
        run: str,
        number: bytes,
    ) -> bool:
        """Whether everything that other runs wrote to the table meanwhile is part of this run's source, too."""
        project, name = self.config.project, online_name(self.view, self.config)
        last = last_loaded(client, project, name)
        came = [
            loaded
            for each, loaded in unfinished_loads(client, project, name).items()
            if each not in others and each != run
        ]
        came += [last] if last is not None and last != cursor else []
        definition = self.view.tags.get(DEFINITION_HASH)
        return all(
            is_contained(loaded, definition, source.history, source.since)
            for loaded in came
            if loaded.table == number.decode()
        )

    def _write(
        self,
        client: SyncClient,
        source: FileRows | PulledRows,
        scope: Scope,
        packer: Packer,
        is_row: IsRow,
        is_empty: bool,
    ) -> tuple[int, int]:
        """How many rows were written, and how many values that were no rows they replaced."""
        written, expired, renewed = 0, 0, time.monotonic()
        oldest = instant_to_micros(get_settings().now()) - self.view.ttl // MICROSECOND if self.view.ttl else None
        with (
            source.batches(scope, self.start, self.end, packer.columns) as (total, batches),
            BulkWriter(client, expiry_ms(self.view, self.config.online_store), is_row, is_empty) as writer,
            tqdm(total=total, unit=" rows", unit_scale=True, disable=None, ncols=100) as progress,
        ):
            for batch in batches:
                if self.stop.is_set():
                    raise KeyboardInterrupt
                writer.write(packer.pack(batch))
                written += batch.num_rows
                expired += 0 if oldest is None else packer.count_before(batch, oldest)
                progress.update(batch.num_rows)
                if scope.anew and time.monotonic() - renewed > _RENEW_SECONDS:
                    online_catalog.renew(client, packer.table)
                    renewed = time.monotonic()
        warn_of_replaced(self.view.name, writer.replaced)
        if expired:
            _LOG.warning(
                "%s: %s of %s rows are past their ttl (%s) and will not be served.",
                self.view.name,
                f"{expired:,}",
                f"{written:,}",
                self.view.ttl,
            )
        return written, writer.replaced

    def _choose_source(self) -> FileRows | PulledRows:
        if isinstance(self.offline_store, PointInTimeOfflineStore) and isinstance(self.view.batch_source, FileSource):
            return FileRows(self.view, self.config)
        return PulledRows(self.view, self.config, self.offline_store)
