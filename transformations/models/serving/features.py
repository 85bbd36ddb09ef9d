"""The features of a request's rows, read from the online store in one round trip, or as if nothing was there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from feast import FeatureService, FeatureStore

from transformations.engine.base.errors import UsageError
from transformations.stores.base.feast_seams import online_store_of
from transformations.stores.lookups.response import PackedResponse
from transformations.stores.online import PackedRedisOnlineStore

Columns = Mapping[str, Sequence[Any]]
"""Values by name, one a row: join keys, request fields and each row's request_timestamp."""


class Features:
    """Reads a store's features by the plan that `get_online_features` compiles."""

    def __init__(self, store: FeatureStore) -> None:
        online = online_store_of(store)
        if not isinstance(online, PackedRedisOnlineStore):
            raise UsageError(
                f"the online store of {store.project} is {type(online).__name__}, and the model server reads "
                f"{PackedRedisOnlineStore.__name__}. Name it in feature_store.yaml."
            )
        self._store, self._online = store, online

    async def read(self, service: FeatureService, columns: Columns, full_names: bool) -> PackedResponse:
        """The rows' features. Errors: as `get_online_features`; ServiceUnavailableError where Redis does not answer."""
        store = self._store
        return await self._online.get_online_features_async(
            store.config, service, columns, store.registry, store.project, full_names
        )

    def unseen(self, service: FeatureService, columns: Columns, full_names: bool) -> PackedResponse:
        """What the rows' features are where the online store holds nothing: their `unseen` defaults, else null."""
        store = self._store
        return self._online.unseen_features(store.config, service, columns, store.registry, store.project, full_names)
