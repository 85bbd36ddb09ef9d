"""The intervals of time that Feast has recorded of a view's loads, joined where they overlap or adjoin.

recorded: 1 to 3, 3 to 4, 4 to 5, 9 to 10      joined: 1 to 5, 9 to 10
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from feast.protos.feast.core.FeatureView_pb2 import FeatureView as ViewProto
from feast.protos.feast.core.FeatureView_pb2 import MaterializationInterval as Interval
from feast.protos.feast.core.StreamFeatureView_pb2 import StreamFeatureView as StreamViewProto

VIEW_KINDS: Mapping[str, type[ViewProto] | type[StreamViewProto]] = {
    "feature_views": ViewProto,
    "stream_feature_views": StreamViewProto,
}
"""The tables of the registry whose views are loaded, and what they hold."""
MOST = 100
"""So many stretches of time are kept, the latest: Feast itself asks for nothing but the latest end."""


def with_joined_intervals(view: ViewProto | StreamViewProto) -> bytes | None:
    """A view as Feast's registry is to store it, with its intervals joined; None where they already are."""
    recorded = [*view.meta.materialization_intervals]
    joined = join(recorded)
    if len(joined) == len(recorded):
        return None
    del view.meta.materialization_intervals[:]
    view.meta.materialization_intervals.extend(joined)
    return bytes(view.SerializeToString())


def join(recorded: Iterable[Interval]) -> list[Interval]:
    """The latest stretches of time that these intervals cover, in order. One that ends before it starts stays alone, as
    a replayed clock leaves it.
    """
    joined: list[Interval] = []
    alone: list[Interval] = []
    for interval in sorted(recorded, key=lambda each: (_start(each), _end(each))):
        if _end(interval) < _start(interval):
            alone.append(interval)
        elif joined and _start(interval) <= _end(joined[-1]):
            if _end(interval) > _end(joined[-1]):
                joined[-1].end_time.CopyFrom(interval.end_time)
        else:
            joined.append(Interval(start_time=interval.start_time, end_time=interval.end_time))
    return sorted([*joined, *alone], key=_end)[-MOST:]


def _start(interval: Interval) -> int:
    return int(interval.start_time.ToNanoseconds())


def _end(interval: Interval) -> int:
    return int(interval.end_time.ToNanoseconds())
