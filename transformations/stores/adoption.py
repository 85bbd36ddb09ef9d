"""Moves what Feast's own Redis store holds into ours: rows that were pushed, which no offline table could give back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from feast import FeatureStore, FeatureView
from feast.feature_view import DUMMY_ENTITY_ID
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.type_map import feast_value_type_to_python_type
from google.protobuf.message import DecodeError

from transformations.engine.base.errors import DataError, UsageError
from transformations.engine.base.moments import instant_to_micros
from transformations.engine.base.settings import get_settings
from transformations.stores.base.join_keys import as_key, key_fields, key_values
from transformations.stores.base.values import column_of, to_protos
from transformations.stores.online import PackedRedisOnlineStore, PackedRedisOnlineStoreConfig, online_name
from transformations.stores.redis.connections import Reaching, connect
from transformations.stores.redis.feast_rows import Row, latest_event
from transformations.stores.redis.stock_rows import ForeignHash, StockHash, remove_unchanged, stock_hashes
from transformations.stores.rows.codecs import codec_of


@dataclass(kw_only=True)
class Moved:
    """What became of one view's rows. in_future, unfit: left out, and what the first unfit one says."""

    rows: int = 0
    in_future: int = 0
    unfit: int = 0
    example: str = ""


@dataclass(kw_only=True)
class Adoption:
    """What was found in stock's form.

    hashes: entities. views: what became of the rows, by view. unknown: rows of views that are not registered, by view.
    foreign: hashes whose key ends like the project's and is of another form. removed: hashes that are gone.
    """

    hashes: int = 0
    views: dict[str, Moved] = field(default_factory=dict)
    unknown: dict[str, int] = field(default_factory=dict)
    foreign: int = 0
    removed: int = 0


def adopt(
    store: FeatureStore,
    source: str | None = None,
    *,
    remove: bool = False,
    advance: Callable[[int], None] = lambda _: None,
) -> Adoption:
    """Write every row that stock Feast holds of a repository into our online store, as pushed, where it is newest.

    May be killed and repeated at any time, beside servers and loads: the newest row wins, and one with a created
    timestamp before one of the same event without. source: where stock's Redis is, by default the same one. remove:
    remove each hash of which every row was written, unless it was changed meanwhile.

    Errors: UsageError where the repository's online store is another than ours; ServiceUnavailableError.
    """
    config = store.config
    ours = config.online_store
    if not isinstance(ours, PackedRedisOnlineStoreConfig):
        raise UsageError("the online store of feature_store.yaml is not ours: change its type first, then adopt.")
    theirs = ours if source is None else ours.model_copy(update={"connection_string": source})
    online = PackedRedisOnlineStore()
    registry, project = store.registry, store.project
    stored = (*registry.list_feature_views(project), *registry.list_stream_feature_views(project))
    views = {online_name(view, config): view for view in stored}
    computed = {view.name for view in registry.list_on_demand_feature_views(project)}
    found = Adoption()
    with Reaching(theirs):
        client = connect(theirs, get_settings().redis_write_timeout_ms)
        for portion in stock_hashes(client, project):
            hashes = [each for each in portion if isinstance(each, StockHash)]
            found.foreign += sum(isinstance(each, ForeignHash) for each in portion)
            found.hashes += len(hashes)
            whole = {each.key: each for each in hashes}
            for name, holders in _by_view(hashes).items():
                if name in views:
                    moved = found.views.setdefault(name, Moved())
                    rows, left = _rows_of(views[name], name, holders, moved)
                    online.online_write_batch(config, views[name], rows, None)
                    moved.rows += len(rows)
                elif name in computed:  # whose values ours computes as they are read
                    left = []
                else:
                    found.unknown[name] = found.unknown.get(name, 0) + len(holders)
                    left = holders
                for each in left:
                    whole.pop(each.key, None)
            if remove:
                found.removed += remove_unchanged(client, list(whole.values()))
            advance(len(hashes))
    return found


def _by_view(hashes: Sequence[StockHash]) -> dict[str, list[StockHash]]:
    by_view: dict[str, list[StockHash]] = {}
    for each in hashes:
        for view in each.views:
            by_view.setdefault(view, []).append(each)
    return by_view


def _rows_of(
    view: FeatureView, name: str, hashes: Sequence[StockHash], moved: Moved
) -> tuple[list[Row], list[StockHash]]:
    """The rows to write, and the hashes whose row is left out, which `moved` counts. name: in the online store."""
    rows: list[Row] = []
    left: list[StockHash] = []
    latest = latest_event()
    features = [feature.name for feature in view.features]
    codecs = {feature.name: codec_of(feature.dtype) for feature in view.features}
    for each in hashes:
        try:
            happened, values = each.row(name, features)
            entity = _entity_as_declared(view, each.entity)
            for feature, value in values.items():
                codecs[feature].from_proto(value)  # raises where it is of another kind
        except (DataError, DecodeError, ValueError) as error:
            moved.unfit += 1
            moved.example = moved.example or str(error)
            left.append(each)
            continue
        if instant_to_micros(happened) > latest:
            moved.in_future += 1
            left.append(each)
            continue
        rows.append((entity, values, happened, None))
    return rows, left


def _entity_as_declared(view: FeatureView, entity: EntityKey) -> EntityKey:
    """An entity with its keys in the dtypes that the view declares now. DataError where these do not fit."""
    given: dict[str, Value] = dict(zip(entity.join_keys, entity.entity_values, strict=True))
    fields = key_fields(view)
    names = [each.name for each in fields]
    given.pop(DUMMY_ENTITY_ID, None)  # which a load writes, and a push does not
    if sorted(given) != sorted(names):
        raise DataError(
            f"{view.name}: is keyed by {', '.join(names) or 'nothing'}, this row by {', '.join(given) or 'nothing'}"
        )
    if not fields:
        return EntityKey(join_keys=[DUMMY_ENTITY_ID], entity_values=[Value(string_val="")])
    typed = []
    for key in fields:
        place = f"{view.name}: join key {key.name!r}"
        plain = key_values([feast_value_type_to_python_type(given[key.name])], key.dtype)
        typed += to_protos(as_key(column_of(plain, place), key.dtype, place), key.dtype)
    return EntityKey(join_keys=names, entity_values=typed)
