"""Lineage as a drawing: boxes in layers from left to right, the data's way, and curves between them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass

_WIDTH, _HEIGHT = 190, 46
_GAP_X, _GAP_Y = 42, 12
_MARGIN = 8
_MOST_IN_A_LAYER = 14
_LONGEST_LABEL = 22
_LONGEST_NOTE = 29


@dataclass(frozen=True, order=True)
class Node:
    """A thing to be drawn; `key` tells it apart. holder: the source or view that it is in, where it is in one."""

    key: str
    name: str
    kind: str
    href: str | None
    _: KW_ONLY
    holder: str = ""


@dataclass(frozen=True, order=True)
class Edge:
    """An arrow between the keys of two nodes. is_value: a value is computed from it, not only found or timed by it."""

    origin: str
    reader: str
    is_value: bool = True


@dataclass(frozen=True, kw_only=True)
class Box:
    """A drawn node, its upper left corner in pixels; without a node it stands for those left out."""

    number: int
    x: int
    y: int
    label: str
    note: str
    name: str
    kind: str
    href: str | None
    is_focus: bool


@dataclass(frozen=True)
class Curve:
    """A drawn arrow between boxes, by number, with the path in SVG's words."""

    origin: int
    reader: int
    path: str
    is_value: bool


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A whole drawing, in pixels. left_out: nodes beyond those that a layer has room for."""

    width: int
    height: int
    boxes: tuple[Box, ...]
    curves: tuple[Curve, ...]
    left_out: int
    box_width: int = _WIDTH
    box_height: int = _HEIGHT


def draw(nodes: Iterable[Node], edges: Iterable[Edge], focus: str | None = None) -> Drawing | None:
    """The drawing of a graph without circles; None where it has no arrow. Equal graphs give equal drawings.

    clicks ──► user_clicks ──► churn_v1          layer 0, 1, 2: the longest way from a node that reads nothing
    pages ───► user_topics ────▲
    """
    known = {node.key: node for node in sorted(set(nodes))}
    arrows = sorted({edge for edge in edges if edge.origin in known and edge.reader in known})
    if not arrows:
        return None
    layers = _order_layers(_layers_of_keys(known, arrows), arrows)
    kept = [_keep(layer, focus) for layer in layers]
    tallest = max(map(len, kept))
    boxes: dict[str, Box] = {}
    for column, layer in enumerate(kept):
        top = _MARGIN + (tallest - len(layer)) * (_HEIGHT + _GAP_Y) // 2
        for row, key in enumerate(layer):
            node = known[key]
            boxes[key] = Box(
                number=len(boxes),
                x=_MARGIN + column * (_WIDTH + _GAP_X),
                y=top + row * (_HEIGHT + _GAP_Y),
                label=_shorten(node.name, _LONGEST_LABEL),
                note=_shorten(f"of {node.holder}" if node.holder else node.kind, _LONGEST_NOTE),
                name=f"{node.name} of {node.holder}" if node.holder else node.name,
                kind=node.kind,
                href=node.href,
                is_focus=key == focus,
            )
    curves = tuple(
        Curve(
            boxes[each.origin].number,
            boxes[each.reader].number,
            _curve_path(boxes[each.origin], boxes[each.reader]),
            value,
        )
        for each, value in _strongest_arrows(arrows)
        if each.origin in boxes and each.reader in boxes
    )
    return Drawing(
        width=2 * _MARGIN + len(kept) * (_WIDTH + _GAP_X) - _GAP_X,
        height=2 * _MARGIN + tallest * (_HEIGHT + _GAP_Y) - _GAP_Y,
        boxes=tuple(boxes.values()),
        curves=curves,
        left_out=len(known) - len(boxes),
    )


def _shorten(text: str, longest: int) -> str:
    """A text as a box has room for: its middle is left out."""
    if len(text) <= longest:
        return text
    half = (longest - 1) // 2
    return f"{text[:half]}…{text[-half:]}"


def _layers_of_keys(known: Mapping[str, Node], arrows: Sequence[Edge]) -> list[list[str]]:
    depth = dict.fromkeys(known, 0)
    for _ in known:  # a way is no longer than there are nodes
        before = dict(depth)
        for arrow in arrows:
            depth[arrow.reader] = max(depth[arrow.reader], min(depth[arrow.origin] + 1, len(known)))
        if depth == before:
            break
    layers = [[key for key in known if depth[key] == layer] for layer in range(max(depth.values()) + 1)]
    return [layer for layer in layers if layer]


def _order_layers(layers: Sequence[list[str]], arrows: Sequence[Edge]) -> list[list[str]]:
    """Each layer in the order of its neighbours in the layers before it, so that few curves cross."""
    place: dict[str, float] = {}
    ordered = []
    for layer in layers:
        origins = {
            key: [place[each.origin] for each in arrows if each.reader == key and each.origin in place] for key in layer
        }
        centre = {key: sum(found) / len(found) if found else 0.0 for key, found in origins.items()}
        ordered.append([key for _, key in sorted((centre[key], key) for key in layer)])
        place |= {key: row / max(len(layer) - 1, 1) for row, key in enumerate(ordered[-1])}
    return ordered


def _keep(layer: Sequence[str], focus: str | None) -> list[str]:
    """As many of a layer as there is room for, the focus always among them."""
    kept = list(layer[:_MOST_IN_A_LAYER])
    if focus in layer and focus not in kept:
        kept[-1] = str(focus)
    return kept


def _strongest_arrows(arrows: Sequence[Edge]) -> list[tuple[Edge, bool]]:
    """Each pair once: as a value, where one of its arrows is."""
    found: dict[tuple[str, str], Edge] = {}
    for arrow in arrows:
        if (arrow.origin, arrow.reader) not in found or arrow.is_value:
            found[arrow.origin, arrow.reader] = arrow
    return [(arrow, arrow.is_value) for arrow in found.values()]


def _curve_path(origin: Box, reader: Box) -> str:
    x1, y1 = origin.x + _WIDTH, origin.y + _HEIGHT // 2
    x2, y2 = reader.x, reader.y + _HEIGHT // 2
    middle = (x1 + x2) // 2
    return f"M{x1},{y1} C{middle},{y1} {middle},{y2} {x2},{y2}"
