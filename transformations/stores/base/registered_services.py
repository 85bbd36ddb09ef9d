"""Checks a service as it is written to Feast's SQL registry, against the views that are registered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from feast import FeatureService, FeatureView, OnDemandFeatureView
from feast.base_feature_view import BaseFeatureView
from feast.infra.registry.sql import feature_views, on_demand_feature_views
from feast.protos.feast.core.FeatureService_pb2 import FeatureService as FeatureServiceProto
from feast.protos.feast.core.FeatureView_pb2 import FeatureView as FeatureViewProto
from feast.protos.feast.core.OnDemandFeatureView_pb2 import OnDemandFeatureView as OnDemandFeatureViewProto
from sqlalchemy import Connection, select

from transformations.engine.base.errors import DefinitionError
from transformations.stores.base.collisions import collisions_of


def refuse_colliding_service(connection: Connection, written: Mapping[str, Any]) -> None:
    """DefinitionError for a service in which two values have one name. written: the columns of its row.

    Feast applies views before services, so the registry holds all that a service names.
    """
    service = FeatureService.from_proto(FeatureServiceProto.FromString(written["feature_service_proto"]))
    project = next(value for name, value in written.items() if name.startswith("project_id"))
    named = [projection.name for projection in service.feature_view_projections]
    if faults := list(collisions_of(service, _registered_views(connection, project, named))):
        raise DefinitionError("\n".join([*faults, f"Service {service.name} was not written to the registry."]))


def _registered_views(connection: Connection, project: str, names: Iterable[str]) -> Mapping[str, BaseFeatureView]:
    """The stored and on-demand views of these names, and the views that the on-demand ones read."""

    def protos(table: Any, wanted: Iterable[str]) -> list[bytes]:
        found = select(table.c.feature_view_proto).where(
            table.c.project_id == project, table.c.feature_view_name.in_(list(wanted))
        )
        return [bytes(row[0]) for row in connection.execute(found)]

    on_demand = [
        OnDemandFeatureView.from_proto(OnDemandFeatureViewProto.FromString(proto), skip_udf=True)
        for proto in protos(on_demand_feature_views, names)
    ]
    read = [each.name for view in on_demand for each in view.source_feature_view_projections.values()]
    stored = [
        FeatureView.from_proto(FeatureViewProto.FromString(proto)) for proto in protos(feature_views, [*names, *read])
    ]
    return {view.name: view for view in (*stored, *on_demand)}
