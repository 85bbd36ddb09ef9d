"""Lineage as a drawing: boxes in layers from left to right, the data's way, and curves between them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from itertools import pairwise

_WIDTH, _HEIGHT = 170, 46
_GAP_X, _GAP_Y = 36, 12
_MARGIN = 8
_MOST_IN_A_LAYER = 14
_LONGEST_LABEL = 20
_LONGEST_NOTE = 26
_LANE = 12
"""The height that an arrow takes in a layer which it passes."""
_SWEEPS = 4


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

    Arrows across several layers have a lane in each that they pass, so that they run behind no box.
    """
    known = {node.key: node for node in sorted(set(nodes))}
    arrows = sorted({edge for edge in edges if edge.origin in known and edge.reader in known})
    if not arrows:
        return None
    layers = [_keep(layer, focus) for layer in _layers_of_keys(known, arrows)]
    kept = {key for layer in layers for key in layer}
    drawn = [each for each in _strongest_arrows(arrows) if each.origin in kept and each.reader in kept]
    ways = _ways(layers, drawn)
    rows = _order_layers(_with_lanes(layers, ways), ways)
    tops, height = _tops(rows)
    boxes = {
        key: _box(known[key], number, column, tops[key], is_focus=key == focus)
        for number, (column, key) in enumerate(
            (column, key) for column, row in enumerate(rows) for key in row if key in kept
        )
    }
    return Drawing(
        width=2 * _MARGIN + len(rows) * (_WIDTH + _GAP_X) - _GAP_X,
        height=height,
        boxes=tuple(boxes.values()),
        curves=tuple(
            Curve(boxes[each.origin].number, boxes[each.reader].number, _path(way, boxes, tops), each.is_value)
            for each, way in zip(drawn, ways, strict=True)
        ),
        left_out=len(known) - len(boxes),
    )


def _box(node: Node, number: int, column: int, top: int, *, is_focus: bool) -> Box:
    return Box(
        number=number,
        x=_left(column),
        y=top,
        label=_shorten(node.name, _LONGEST_LABEL),
        note=_shorten(f"of {node.holder}" if node.holder else node.kind, _LONGEST_NOTE),
        name=f"{node.name} of {node.holder}" if node.holder else node.name,
        kind=node.kind,
        href=node.href,
        is_focus=is_focus,
    )


def _left(column: int) -> int:
    return _MARGIN + column * (_WIDTH + _GAP_X)


def _shorten(text: str, longest: int) -> str:
    """A text as a box has room for: its middle is left out."""
    if len(text) <= longest:
        return text
    half = (longest - 1) // 2
    return f"{text[:half]}…{text[-half:]}"


def _layers_of_keys(known: Mapping[str, Node], arrows: Sequence[Edge]) -> list[list[str]]:
    """The keys by the longest way to them; kinds whose nodes do not read each other stand in one layer, the deepest."""
    chained = {known[each.reader].kind for each in arrows if known[each.origin].kind == known[each.reader].kind}
    depth = dict.fromkeys(known, 0)
    for _ in known:  # a way is no longer than there are nodes
        before = dict(depth)
        for arrow in arrows:
            depth[arrow.reader] = max(depth[arrow.reader], min(depth[arrow.origin] + 1, len(known)))
        deepest: dict[str, int] = {}
        for key, node in known.items():
            deepest[node.kind] = max(deepest.get(node.kind, 0), depth[key])
        depth = {key: each if known[key].kind in chained else deepest[known[key].kind] for key, each in depth.items()}
        if depth == before:
            break
    layers = [[key for key in known if depth[key] == layer] for layer in range(max(depth.values()) + 1)]
    return [layer for layer in layers if layer]


_Lane = tuple[str, int]
"""Where arrows to a reader pass a layer: those of several origins share it."""


def _ways(layers: Sequence[Sequence[str]], arrows: Sequence[Edge]) -> list[list[str | _Lane]]:
    """For each arrow its origin, the lanes in the layers between, and its reader."""
    column = {key: number for number, layer in enumerate(layers) for key in layer}
    return [
        [
            each.origin,
            *((each.reader, between) for between in range(column[each.origin] + 1, column[each.reader])),
            each.reader,
        ]
        for each in arrows
    ]


def _with_lanes(layers: Sequence[Sequence[str]], ways: Sequence[Sequence[str | _Lane]]) -> list[list[str | _Lane]]:
    found: list[list[str | _Lane]] = [list(layer) for layer in layers]
    for lane in sorted({stop for way in ways for stop in way if not isinstance(stop, str)}):
        found[lane[1]].append(lane)
    return found


def _order_layers(
    layers: Sequence[Sequence[str | _Lane]], ways: Sequence[Sequence[str | _Lane]]
) -> list[list[str | _Lane]]:
    """Each layer in the order of its neighbours, before it and then behind it, so that few curves cross."""
    steps = sorted({step for way in ways for step in pairwise(way)}, key=str)
    rows = [sorted(layer, key=str) for layer in layers]
    for sweep in range(_SWEEPS):
        forwards = sweep % 2 == 0
        place: dict[str | _Lane, float] = {}
        for row in rows if forwards else reversed(rows):
            near: dict[str | _Lane, list[float]] = {each: [] for each in row}
            for origin, reader in steps:
                stop, neighbour = (reader, origin) if forwards else (origin, reader)
                if stop in near and neighbour in place:
                    near[stop].append(place[neighbour])
            old = {each: number / max(len(row) - 1, 1) for number, each in enumerate(row)}
            row.sort(key=lambda each: (sum(near[each]) / len(near[each]) if near[each] else old[each], str(each)))
            place |= {each: number / max(len(row) - 1, 1) for number, each in enumerate(row)}
    return rows


def _tops(rows: Sequence[Sequence[str | _Lane]]) -> tuple[dict[str | _Lane, int], int]:
    """The upper edge of every box and lane, each layer in the middle, and the height of all."""
    heights = [sum((_HEIGHT if isinstance(each, str) else _LANE) + _GAP_Y for each in row) - _GAP_Y for row in rows]
    tops: dict[str | _Lane, int] = {}
    for row, height in zip(rows, heights, strict=True):
        top = _MARGIN + (max(heights) - height) // 2
        for each in row:
            tops[each] = top
            top += (_HEIGHT if isinstance(each, str) else _LANE) + _GAP_Y
    return tops, 2 * _MARGIN + max(heights)


def _keep(layer: Sequence[str], focus: str | None) -> list[str]:
    """As many of a layer as there is room for, the focus always among them."""
    kept = list(layer[:_MOST_IN_A_LAYER])
    if focus in layer and focus not in kept:
        kept[-1] = str(focus)
    return kept


def _strongest_arrows(arrows: Sequence[Edge]) -> list[Edge]:
    """Each pair once: as a value, where one of its arrows is."""
    found: dict[tuple[str, str], Edge] = {}
    for arrow in arrows:
        if (arrow.origin, arrow.reader) not in found or arrow.is_value:
            found[arrow.origin, arrow.reader] = arrow
    return list(found.values())


def _path(way: Sequence[str | _Lane], boxes: Mapping[str, Box], tops: Mapping[str | _Lane, int]) -> str:
    """A curve from the right edge of the first box to the left edge of the last, straight through the lanes between."""
    first, *lanes, last = way
    origin, reader = boxes[str(first)], boxes[str(last)]
    x, y = origin.x + _WIDTH, origin.y + _HEIGHT // 2
    path = f"M{x},{y}"
    for lane in lanes:
        left, level = _left(int(lane[1])), tops[lane] + _LANE // 2
        path += f" {_bend(x, y, left, level)} H{left + _WIDTH}"
        x, y = left + _WIDTH, level
    return f"{path} {_bend(x, y, reader.x, reader.y + _HEIGHT // 2)}"


def _bend(x1: int, y1: int, x2: int, y2: int) -> str:
    middle = (x1 + x2) // 2
    return f"C{middle},{y1} {middle},{y2} {x2},{y2}"
