"""The drawing of lineage: layers along the data's way, every arrow once, bounded."""

import re

from transformations.insight.site.drawing import Curve, Drawing, Edge, Node, draw


def node(name: str) -> Node:
    return Node(name, name, "feature", f"{name}.html")


def drawn(edges: str, focus: str | None = None) -> Drawing:
    """Of `a>b b>c`; a dotted arrow, `a.b`, reads no value."""
    arrows = [Edge(*each.replace(".", ">").split(">"), ">" in each) for each in edges.split()]
    found = draw([node(name) for name in sorted({*edges} - {*" .>"})], arrows, focus)
    assert found is not None
    return found


def columns(drawing: Drawing) -> list[str]:
    """The names in each layer, from left to right, from top to bottom."""
    boxes = sorted(drawing.boxes, key=lambda box: (box.x, box.y))
    return ["".join(box.name for box in boxes if box.x == x) for x in sorted({box.x for box in boxes})]


def layers(drawing: Drawing) -> list[str]:
    """The names in each layer, in any order."""
    return ["".join(sorted(column)) for column in columns(drawing)]


def test_a_thing_stands_right_of_all_that_it_reads() -> None:
    assert layers(drawn("a>b b>d a>d c>d")) == ["ac", "b", "d"]


def test_things_stand_in_the_order_of_what_they_read() -> None:
    assert columns(drawn("a>z b>y")) == ["ab", "zy"]


def test_an_arrow_that_passes_a_layer_runs_behind_none_of_its_boxes() -> None:
    """a is read by d directly, and through b and c."""
    drawing = drawn("a>b b>c c>d a>d a>x x>d")
    (long,) = [curve for curve in drawing.curves if names(drawing, curve) == "ad"]
    stops = [(int(x), int(y)) for x, y in re.findall(r"(\d+),(\d+) H", long.path)]
    assert len(stops) == 2
    for x, y in stops:
        assert not [box.name for box in drawing.boxes if box.x == x and box.y <= y <= box.y + drawing.box_height]


def names(drawing: Drawing, curve: Curve) -> str:
    by_number = {box.number: box.name for box in drawing.boxes}
    return by_number[curve.origin] + by_number[curve.reader]


def test_things_of_one_kind_stand_in_one_layer_unless_they_read_each_other() -> None:
    kinds = {"a": "source", "b": "view", "c": "view", "s": "service", "t": "service"}
    nodes = [Node(name, name, kind, None) for name, kind in kinds.items()]
    edges = [Edge("a", "b"), Edge("b", "c"), Edge("c", "s"), Edge("a", "t")]
    found = draw(nodes, edges)
    assert found is not None
    assert layers(found) == ["a", "b", "c", "st"]


def test_a_pair_is_joined_once_and_as_a_value_where_it_is_one() -> None:
    assert [(curve.origin, curve.reader, curve.is_value) for curve in drawn("a.b a>b").curves] == [(0, 1, True)]
    assert not drawn("a.b").curves[0].is_value


def test_a_layer_has_room_for_fourteen_and_keeps_the_subject_of_the_page() -> None:
    drawing = drawn(" ".join(f"{name}>A" for name in "bcdefghijklmnopqrstuvwxyz"), focus="z")
    assert (len(drawing.boxes), drawing.left_out) == (15, 11)
    assert [box.name for box in drawing.boxes if box.is_focus] == ["z"]


def test_what_is_read_by_nothing_has_no_drawing() -> None:
    assert draw([node("a")], []) is None


def test_a_circle_still_ends() -> None:
    assert len(drawn("a>b b>a").boxes) == 2
