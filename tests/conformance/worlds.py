"""The two kinds of stores under test, and the three ways to look something up in them, by Feast's public API."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import httpx
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.feature_server import get_app
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus
from feast.types import FeastType, Int64
from redis import Redis

from transformations.stores.base.values import arrow_type

OWNER = "team@example.com"
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)

Row = Mapping[str, Any]
Scenario = Callable[["World"], None]


class RefusedError(Exception):
    """The server's answer to a request that it did not accept."""


@dataclass(frozen=True)
class Answer:
    """What a lookup gave: a list of values and of statuses for each name, a row of the request each."""

    values: Mapping[str, list[Any]]
    statuses: Mapping[str, list[str]]


class Lookup(Protocol):
    """One of the ways to look features up."""

    def __call__(self, features: list[str], rows: Sequence[Row], *, full_feature_names: bool = False) -> Answer: ...


@dataclass
class World:
    """Feast over one kind of stores, with a folder of its own and a Redis database of its own.

    store: the process that applies and materializes; lookups are asked of another one.
    """

    kind: str
    folder: Path
    redis: Redis
    config: RepoConfig
    store: FeatureStore = field(init=False)
    _happened: dict[str, BaseException | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.store = self.open()
        self.user = Entity(
            name="user", join_keys=["user_id"], value_type=ValueType.INT64, description="A user", owner=OWNER
        )

    @property
    def is_ours(self) -> bool:
        return self.kind == "ours"

    def open(self) -> FeatureStore:
        """Another process's view of the same installation."""
        return FeatureStore(config=self.config)

    def once(self, scenario: Scenario) -> None:
        """Let something happen, unless it has; it is looked at by several paths."""
        name = f"{scenario.__module__}.{scenario.__name__}"
        if name not in self._happened:
            self._happened[name] = None
            try:
                scenario(self)
            except BaseException as error:
                self._happened[name] = error
                raise
        if error := self._happened[name]:
            raise error

    def view(
        self, name: str, *, ttl: timedelta | None = None, key: FeastType = Int64, **features: FeastType
    ) -> FeatureView:
        """A plain view of users over one Parquet file."""
        return FeatureView(
            name=name,
            entities=[self.user],
            schema=[Field(name="user_id", dtype=key), *(Field(name=each, dtype=features[each]) for each in features)],
            source=FileSource(
                name=name,
                path=str(self.folder / f"{name}.parquet"),
                timestamp_field="event_timestamp",
                created_timestamp_column="created_timestamp",
            ),
            ttl=ttl or timedelta(0),
            owner=OWNER,
            description="Visits of a user",
        )

    def write(self, view: FeatureView, *rows: tuple[Any, ...]) -> None:
        """The whole content of a view's file: (user, event timestamp, created or None for equal, features)."""
        stamp = pa.timestamp("us", tz="UTC")
        key = view.entity_columns[0]
        types = {key.name: arrow_type(key.dtype), "event_timestamp": stamp, "created_timestamp": stamp}
        types |= {feature.name: arrow_type(feature.dtype) for feature in view.features}
        complete = [(user, moment(event), moment(created or event), *rest) for user, event, created, *rest in rows]
        columns = zip(*complete, strict=True)
        table = pa.table(
            {name: pa.array(column, kind) for (name, kind), column in zip(types.items(), columns, strict=True)}
        )
        pq.write_table(table, self.folder / f"{view.name}.parquet")

    def apply(self, *objects: Any) -> None:
        self.store.apply([self.user, *objects])

    def materialize(self, end: str | datetime, *views: str) -> None:
        self.store.materialize(BEGINNING, moment(end), feature_views=list(views))

    def materialize_incremental(self, end: str | datetime, *views: str) -> None:
        self.store.materialize_incremental(moment(end), feature_views=list(views))

    def training(
        self, features: list[str], rows: Sequence[Row], at: str | datetime | None = None, **more: Any
    ) -> dict[str, list[Any]]:
        """Training values of the same requests, at one moment (default: now), in the order of the rows."""
        spine = pd.DataFrame(list(rows))
        spine["event_timestamp"] = pd.Timestamp(moment(at) if at else datetime.now(UTC))
        spine["row"] = range(len(spine))
        table = self.store.get_historical_features(entity_df=spine, features=features, **more).to_arrow()
        found: dict[str, list[Any]] = table.sort_by("row").to_pydict()
        return {name: values for name, values in found.items() if name not in spine.columns}


def moment(text: str | datetime) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC) if isinstance(text, str) else text


class SdkLookup:
    """`store.get_online_features`."""

    def __init__(self, store: FeatureStore, runner: asyncio.Runner) -> None:
        self.store, self.runner = store, runner

    def __call__(self, features: list[str], rows: Sequence[Row], *, full_feature_names: bool = False) -> Answer:
        self.store.refresh_registry()
        return _answer(
            self.store.get_online_features(
                features=features, entity_rows=list(rows), full_feature_names=full_feature_names
            )
        )

    def close(self) -> None:
        """Nothing to do."""


class AsyncLookup(SdkLookup):
    """`store.get_online_features_async`, in one event loop, as in a server."""

    def __call__(self, features: list[str], rows: Sequence[Row], *, full_feature_names: bool = False) -> Answer:
        self.store.refresh_registry()
        asked = self.store.get_online_features_async(
            features=features, entity_rows=list(rows), full_feature_names=full_feature_names
        )
        return _answer(self.runner.run(asked))

    def close(self) -> None:
        self.runner.run(self.store.close())


class HttpLookup(SdkLookup):
    """`feast serve`: its application in this process, asked in HTTP and JSON."""

    def __init__(self, store: FeatureStore, runner: asyncio.Runner) -> None:
        super().__init__(store, runner)
        self.stack = AsyncExitStack()
        self.client = runner.run(self._serve())

    async def _serve(self) -> httpx.AsyncClient:
        app = get_app(self.store, registry_ttl_sec=0)
        await self.stack.enter_async_context(app.router.lifespan_context(app))
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        client = httpx.AsyncClient(transport=transport, base_url="http://features")
        return await self.stack.enter_async_context(client)

    def __call__(self, features: list[str], rows: Sequence[Row], *, full_feature_names: bool = False) -> Answer:
        self.store.refresh_registry()
        asked = {
            "features": features,
            "entities": {name: [row[name] for row in rows] for name in rows[0]},
            "full_feature_names": full_feature_names,
        }
        response = self.runner.run(self.client.post("/get-online-features", json=asked))
        if response.status_code != httpx.codes.OK:
            raise RefusedError(response.text)
        answer = response.json()
        names = answer["metadata"]["feature_names"]
        values = {
            name: [_from_json(name, value) for value in result["values"]]
            for name, result in zip(names, answer["results"], strict=True)
        }
        statuses = {name: result["statuses"] for name, result in zip(names, answer["results"], strict=True)}
        return Answer(values, statuses)

    def close(self) -> None:
        self.runner.run(self.stack.aclose())


LOOKUPS: Mapping[str, type[SdkLookup]] = {"sdk": SdkLookup, "async": AsyncLookup, "http": HttpLookup}


def same(left: Sequence[Any], right: Sequence[Any]) -> bool:
    """Equal in value, dtype and nulls; NaN is no null, 5 is not 5.0, and timestamps count to the microsecond."""
    return [_exact(value) for value in left] == [_exact(value) for value in right]


def _exact(value: Any) -> tuple[str, str]:
    if isinstance(value, datetime):
        return "timestamp", value.astimezone(UTC).isoformat(timespec="microseconds")
    return type(value).__name__, repr(value)


def _answer(response: Any) -> Answer:
    names, results = response.proto.metadata.feature_names.val, response.proto.results
    statuses = {
        name: [FieldStatus.Name(status) for status in result.statuses]
        for name, result in zip(names, results, strict=True)
    }
    return Answer(response.to_dict(), statuses)


def _from_json(name: str, value: Any) -> Any:
    """Feast's JSON has timestamps in seconds."""
    return datetime.fromtimestamp(value, UTC) if name.endswith("_at") and value is not None else value
