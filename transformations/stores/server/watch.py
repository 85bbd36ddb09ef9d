"""Health of a feature server, and metrics of how complete what it serves is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from time import monotonic
from typing import Any

from feast import FeatureStore
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from redis.exceptions import ConnectionError as RedisConnectionError

from transformations.engine.base.errors import FeaturesError
from transformations.engine.base.settings import get_settings
from transformations.engine.base.words import show_reason
from transformations.stores.computed.rollout import Newer, newer_applied
from transformations.stores.redis.connections import Reaching, SyncClient, connect, shown_address
from transformations.stores.redis.idle import Attempt
from transformations.stores.redis.loaded import Loaded, loaded_views


@dataclass(frozen=True)
class Health:
    """Whether a server can answer. reasons: why it cannot. newer: views of which another version is applied."""

    redis: str
    reasons: tuple[str, ...] = ()
    newer: tuple[Newer, ...] = ()

    @property
    def is_well(self) -> bool:
        """Whether requests can be sent here."""
        return not self.reasons

    def as_json(self) -> dict[str, Any]:
        """The body of /health."""
        newer = [{"view": each.view, "applied": each.applied, "served": each.served} for each in self.newer]
        facts: dict[str, Any] = {"status": "ok" if self.is_well else "unavailable", "redis": self.redis}
        return facts | {"reasons": list(self.reasons), "newer_applied": newer}


@dataclass
class Watch:
    """Looks after a server with connections and a registry cache of its own, apart from those that answer requests.

    The registry is opened now: at the first question there might be another one, or none, in its place.
    """

    store: FeatureStore
    _clients: list[SyncClient] = field(default_factory=list)
    _asking: Attempt | None = None

    def __post_init__(self) -> None:
        _ = self.store.registry

    def health(self) -> Health:
        """Ask Redis and the registry; takes no longer than a lookup may."""
        reasons, newer = [], list[Newer]()
        try:
            self.ask_redis()
        except FeaturesError as error:
            reasons.append(error.message)
        try:
            newer = self.newer_applied()
        except Exception as error:  # whatever a registry may raise: the server cannot answer without one
            reasons.append(f"The registry cannot be read: {show_reason(error)}")
        return Health(shown_address(self.store.config.online_store), tuple(reasons), tuple(newer))

    def metrics(self) -> tuple[bytes, str]:
        """All metrics in Prometheus' text format, with its content type."""
        registry = CollectorRegistry()
        registry.register(self._collector)
        if Path(os.environ.get("PROMETHEUS_MULTIPROC_DIR", "")).is_dir():  # Feast's workers share it (metrics.py:70)
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry), CONTENT_TYPE_LATEST

    def ask_redis(self) -> None:
        """ServiceUnavailableError where it does not answer within the time of a lookup."""
        deadline = monotonic() + get_settings().redis_read_timeout_ms / 1000
        with Reaching(self.store.config.online_store):
            if self._asking is not None and not self._asking.is_done:
                with suppress(RedisConnectionError):  # which giving up at an earlier deadline may have caused
                    self._asking.wait(deadline, abandon=self._disconnect)
            if self._asking is None or self._asking.is_done:
                self._asking = Attempt(self._ping)
            self._asking.wait(deadline, abandon=self._disconnect)

    def _ping(self) -> None:
        if not self._clients:
            milliseconds = get_settings().redis_read_timeout_ms
            self._clients.append(connect(self.store.config.online_store, milliseconds, retries=0))
        client = self._clients[0]
        try:
            client.ping()
        except RedisConnectionError:  # Redis was started anew, or `_disconnect` has ended this
            if client not in self._clients:
                raise
            client.ping()

    def _disconnect(self) -> None:
        """End a question that takes too long: redis-py would wait for as long as a byte comes now and then."""
        while self._clients:
            self._clients.pop().close()

    def newer_applied(self) -> list[Newer]:
        """On-demand views of which another version is applied than this code serves."""
        return newer_applied(self.store.registry, self.store.project)

    def views(self) -> Iterator[tuple[str, Loaded | None]]:
        """Each view that is served, with what Redis was last loaded with of it."""
        loaded = loaded_views(self.store, get_settings())
        for view in self.store.list_feature_views(allow_cache=True):
            if view.online:
                yield view.name, loaded.get(view.name)

    @cached_property
    def _collector(self) -> Collector:
        return _Collector(self)


class _Collector(Collector):
    """Gauges that are read when asked for, so that a view that is gone leaves none behind."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch

    def collect(self) -> Iterator[Any]:
        is_up = True
        try:
            self.watch.ask_redis()
        except FeaturesError:
            is_up = False
        yield GaugeMetricFamily("features_redis_up", "Whether Redis answers within the time of a lookup", float(is_up))
        newer = GaugeMetricFamily(
            "features_on_demand_newer_applied",
            "Whether another version of an on-demand view is applied than this server's code has",
            labels=["view"],
        )
        behind = {each.view for each in self.watch.newer_applied()}
        for view in self.watch.store.list_on_demand_feature_views(allow_cache=True):
            newer.add_metric([view.name], float(view.name in behind))
        yield newer
        if is_up:
            yield from self._of_views()

    def _of_views(self) -> Iterator[Any]:
        def gauge(name: str, help_text: str) -> Any:
            return GaugeMetricFamily(f"features_view_{name}", help_text, labels=["view"])

        loaded = gauge("loaded", "Whether Redis holds a view that was loaded to its end")
        through = gauge("complete_through_timestamp_seconds", "Up to when Redis knows all of a view")
        version = gauge("table_version", "Version of the offline table that a view was last loaded from")
        for view, found in self.watch.views():
            loaded.add_metric([view], float(found is not None))
            if found is not None:
                through.add_metric([view], found.complete_through.timestamp())
            if found is not None and found.version is not None:
                version.add_metric([view], float(found.version))
        yield from (loaded, through, version)
