"""Caches the plans of a process until its registry changes.

The registry's cache is refreshed in the background once it expires: a request never waits for that, and is answered by
the plan at hand.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Any

from feast import FeatureService
from feast.infra.registry.base_registry import BaseRegistry
from feast.protos.feast.core.Registry_pb2 import Registry as RegistryProto

from transformations.stores.base.feast_seams import (
    content_digest,
    is_expired,
    number,
    read_content,
    registry_file,
)
from transformations.stores.lookups.plans import Features, Plan, compile_plan

_MOST_PLANS = 1_000
_LOOK_SECONDS = 0.5


class Plans:
    """The plans of one store, by request.

    versioned: whether the repository serves several versions of a view. is_strict: as `compile_plan`.
    """

    def __init__(self, versioned: bool, *, is_strict: bool = False) -> None:
        self._is_strict = is_strict
        self._versioned = versioned
        self._proto: RegistryProto | None = None
        self._version = ""
        self._digest = b""
        self._plans: dict[tuple[object, ...], Plan] = {}
        self._services: dict[int, tuple[FeatureService, tuple[object, ...]]] = {}
        self._lock = threading.Lock()
        self._renewing = threading.Lock()
        self._look_again = 0.0
        self._written: int | None = None

    def of(self, registry: BaseRegistry, project: str, features: Features, full_feature_names: bool) -> Plan:
        """The plan of a request, compiled if need be."""
        proto = self._current_content(registry)
        key = (self._request_key(features), project, full_feature_names)
        plan = self._plans.get(key)
        if plan is None:
            plan = compile_plan(
                proto, registry, project, features, full_feature_names, self._versioned, is_strict=self._is_strict
            )
            with self._lock:
                if len(self._plans) >= _MOST_PLANS:
                    self._plans.clear()
                if self._proto is proto:  # else the registry has changed since
                    self._plans[key] = plan
        return plan

    def prepare(self, registry: BaseRegistry, project: str) -> None:
        """Compile the plans of all feature services; one that does not compile fails when it is requested."""
        for service in registry.list_feature_services(project, allow_cache=True):
            for full_feature_names in (False, True):
                try:
                    self.of(registry, project, service, full_feature_names)
                except Exception:  # the request will report it
                    continue

    def _current_content(self, registry: BaseRegistry) -> RegistryProto:
        """The cached registry. A change of its content empties the plans; a mere refresh does not."""
        proto = read_content(registry)
        version = number(proto)
        if proto is not self._proto or version != self._version:
            digest = content_digest(proto)
            with self._lock:
                if digest != self._digest:
                    self._plans, self._services = {}, {}
                self._proto, self._version, self._digest = proto, version, digest
        now = time.monotonic()
        if now > self._look_again:
            self._look_again = now + _LOOK_SECONDS
            if self._is_outdated(registry) and self._renewing.acquire(blocking=False):
                threading.Thread(target=self._renew_registry, args=(registry,), name="registry", daemon=True).start()
        return proto

    def _is_outdated(self, registry: BaseRegistry) -> bool:
        """Whether the registry's cache has expired, or its file was written since (as registry.py:1507)."""
        file, before = registry_file(registry), self._written
        if file is not None and getattr(registry, "cache_mode", "") == "sync":
            with contextlib.suppress(OSError):
                self._written = file.stat().st_mtime_ns
        if before is not None and before != self._written:
            return True
        return is_expired(registry)

    def _renew_registry(self, registry: BaseRegistry) -> None:
        try:
            registry.refresh()
        finally:
            self._renewing.release()

    def _request_key(self, features: Features) -> tuple[object, ...]:
        if not isinstance(features, FeatureService):
            return tuple(features)
        known = self._services.get(id(features))
        if known is not None and known[0] is features:
            return known[1]
        key = (features.name, *(_projection_key(each) for each in features.feature_view_projections))
        if len(self._services) >= _MOST_PLANS:
            self._services = {}
        self._services[id(features)] = (features, key)
        return key


def _projection_key(projection: Any) -> tuple[object, ...]:
    return (
        projection.name_to_use(),
        projection.name,
        projection.version_tag,
        tuple(sorted(projection.join_key_map.items())),
        tuple(feature.name for feature in projection.features),
    )
