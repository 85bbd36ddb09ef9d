"""What each page draws of the lineage: of features and columns the single things, of all else what holds them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from transformations.insight.lineage.graph import Arrow, Kind, Lineage, Role, Thing
from transformations.insight.site.drawing import Drawing, Edge, Node, draw
from transformations.insight.site.pages import Address, PageKind

_BY_VALUE = (Role.VALUE, Role.FEATURES, Role.SPINE, Role.ROWS, Role.METRIC)


class LineageDrawings:
    """Draws parts of a lineage whose boxes lead to pages. on_demand: the views computed at request time."""

    def __init__(self, lineage: Lineage, on_demand: Iterable[str]) -> None:
        self._lineage = lineage
        self._on_demand = set(on_demand)

    def overview(self) -> Drawing | None:
        """Sources, views, services, datasets and models."""
        return self._draw_holders(self._lineage.arrows, None)

    def around_thing(self, thing: Thing) -> Drawing | None:
        """A column, request field or feature with all that it is computed from, and all that is computed from it."""
        arrows = self._arrows_around([thing])
        found = {end for arrow in arrows for end in (arrow.origin, arrow.reader)}
        nodes = [_node_of(self.address(each), each) for each in found]
        return draw(nodes, [self._edge(arrow) for arrow in arrows], _key_of(self.address(thing)))

    def around_holder(self, address: Address) -> Drawing | None:
        """A source, view, service, dataset or model with the others on the way of its data."""
        held = [thing for thing in self._lineage.things if self._holder(thing) == address]
        return self._draw_holders(self._arrows_around(held), address)

    def address(self, thing: Thing) -> Address:
        """The page of a thing."""
        is_on_demand = thing.container in self._on_demand
        kind = {
            Kind.COLUMN: PageKind.COLUMN,
            Kind.REQUEST_FIELD: PageKind.REQUEST_FIELD,
            Kind.FEATURE: PageKind.ON_DEMAND_FEATURE if is_on_demand else PageKind.FEATURE,
            Kind.SERVICE: PageKind.SERVICE,
            Kind.DATASET: PageKind.DATASET,
            Kind.MODEL: PageKind.MODEL,
        }[thing.kind]
        return Address(kind, thing.name)

    def _holder(self, thing: Thing) -> Address:
        if thing.kind is Kind.COLUMN:
            return Address(PageKind.SOURCE, thing.container)
        if thing.kind is Kind.FEATURE:
            is_on_demand = thing.container in self._on_demand
            return Address(PageKind.ON_DEMAND_VIEW if is_on_demand else PageKind.VIEW, thing.container)
        return self.address(thing)

    def _arrows_around(self, things: Sequence[Thing]) -> list[Arrow]:
        """The arrows on every way that leads to these things, and on every way that leads from them."""
        before = {*things, *(reached.thing for reached in self._lineage.upstream(things))}
        after = {*things, *(reached.thing for reached in self._lineage.downstream(things))}
        return [
            arrow
            for arrow in self._lineage.arrows
            if (arrow.origin in before and arrow.reader in before) or (arrow.origin in after and arrow.reader in after)
        ]

    def _draw_holders(self, arrows: Sequence[Arrow], focus: Address | None) -> Drawing | None:
        nodes, edges = set(), set()
        for arrow in arrows:
            origin, reader = self._holder(arrow.origin), self._holder(arrow.reader)
            if origin != reader:
                nodes |= {_node_of(origin), _node_of(reader)}
                edges.add(Edge(_key_of(origin), _key_of(reader), arrow.role in _BY_VALUE))
        return draw(nodes, edges, None if focus is None else _key_of(focus))

    def _edge(self, arrow: Arrow) -> Edge:
        return Edge(_key_of(self.address(arrow.origin)), _key_of(self.address(arrow.reader)), arrow.role in _BY_VALUE)


def _node_of(address: Address, thing: Thing | None = None) -> Node:
    if thing is None or thing.container == thing.name:
        return Node(_key_of(address), address.name, str(address.kind), address.href)
    return Node(_key_of(address), thing.short_name, str(address.kind), address.href, holder=thing.container)


def _key_of(address: Address) -> str:
    return f"{address.kind} {address.name}"
