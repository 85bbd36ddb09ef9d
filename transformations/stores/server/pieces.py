"""Answers a lookup of many rows piece by piece, so that the server answers other requests in between."""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from feast import FeatureService, FeatureStore

from transformations.engine.base.errors import DataError, UsageError
from transformations.engine.base.settings import present_moment
from transformations.engine.vocabulary.functions import REQUEST_TIMESTAMP
from transformations.stores.base.errors import DamagedRowError
from transformations.stores.base.values import count_rows
from transformations.stores.lookups.response import PackedResponse
from transformations.stores.server.json_values import response_as_json

VALUES_OF_A_PIECE = 2_000  # some 5 ms of work
LEAST_ROWS = 20
_LISTS_A_PART = 16

Columns = Mapping[str, Sequence[Any]]


async def answer_in_pieces(
    store: FeatureStore,
    features: list[str] | FeatureService,
    columns: Columns,
    *,
    full_feature_names: bool,
    with_versions: bool,
) -> list[bytes]:
    """The answer of Feast's server to this lookup, as JSON, in parts.

    Features of one row are read at one moment; all rows have one `request_timestamp`, unless the request brings one.
    Errors: as `get_online_features`; UsageError for columns of different lengths, and for none.

        columns   user_id [1, 2, 3, 4, 5]          results of the pieces, merged feature by feature
        pieces    user_id [1, 2]            →      values [10, 20]
                  user_id [3, 4]            →      values         [30, 40]
                  user_id [5]               →      values                 [50]
    """
    rows = rows_of(columns)
    size = max(LEAST_ROWS, VALUES_OF_A_PIECE // max(1, number_of(features)))
    if rows > size:
        columns = _with_request_timestamp(columns, rows)
    fragments: list[dict[str, list[bytes]]] = []
    rest: dict[str, Any] = {}
    for start, piece in _split_rows(columns, rows, size):
        began = time.monotonic()
        try:
            response = await store.get_online_features_async(
                features, piece, full_feature_names, include_feature_view_version_metadata=with_versions
            )
        except DamagedRowError:  # names an entity, not a row of the request
            raise
        except DataError as error:
            if not start:
                raise
            raise DataError(f"{error.message} Rows are counted from row {start:,} of the request on.") from error
        rest = response_as_json(cast("PackedResponse", response))
        vectors = rest.pop("results")
        if rows <= size:
            return [_dump_json({"results": vectors, **rest}).encode()]
        fragments = fragments or [defaultdict(list) for _ in vectors]
        for vector, lists in zip(vectors, fragments, strict=True):
            for name, values in vector.items():
                lists[name].append(_dump_json(values)[1:-1].encode())
        await asyncio.sleep(time.monotonic() - began)  # as long again is for others
    return _merge_fragments(fragments, rest)


def rows_of(columns: Columns) -> int:
    """The number of rows. UsageError for columns of different lengths, and for none."""
    if not columns:
        raise UsageError("entities is empty. Give a list of values for each join key and request field.")
    return count_rows(columns, "the request")


def number_of(features: list[str] | FeatureService) -> int:
    """How many features are asked for."""
    if isinstance(features, FeatureService):
        return sum(len(projection.features) for projection in features.feature_view_projections)
    return len(features)


def _split_rows(columns: Columns, rows: int, size: int) -> Iterator[tuple[int, dict[str, Sequence[Any]]]]:
    for start in range(0, max(rows, 1), size):
        yield start, {name: values[start : start + size] for name, values in columns.items()}


def _with_request_timestamp(columns: Columns, rows: int) -> Columns:
    """The columns with a `request_timestamp` in every row: each piece would take its own present moment."""
    now = present_moment()
    given = columns.get(REQUEST_TIMESTAMP)
    moments = [now] * rows if given is None else [now.isoformat() if each is None else each for each in given]
    return {**columns, REQUEST_TIMESTAMP: moments}


def _merge_fragments(fragments: Sequence[Mapping[str, Sequence[bytes]]], rest: Mapping[str, Any]) -> list[bytes]:
    parts = [b'{"results":[']
    for number, vector in enumerate(fragments):
        parts.append(b",{" if number else b"{")
        for place, (name, lists) in enumerate(vector.items()):
            parts.append(f'{"," if place else ""}"{name}":['.encode())
            parts.extend(_join_lists(lists))
            parts.append(b"]")
        parts.append(b"}")
    others = "".join(f',"{name}":{_dump_json(value)}' for name, value in rest.items())
    return [*parts, f"]{others}}}".encode()]


def _join_lists(lists: Sequence[bytes]) -> Iterator[bytes]:
    """The lists' contents as one, in parts that a server sends in a moment each."""
    for start in range(0, len(lists), _LISTS_A_PART):
        yield (b"," if start else b"") + b",".join(lists[start : start + _LISTS_A_PART])


def _dump_json(value: object) -> str:
    """As Starlette's JSONResponse has it."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
