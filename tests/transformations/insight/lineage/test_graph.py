"""The graph of what is computed from what."""

from hypothesis import given
from hypothesis import strategies as st

from transformations.insight.lineage.graph import Arrow, Kind, Lineage, Role, Thing

PAGE = Thing(Kind.COLUMN, "clicks.page", "web")
USER = Thing(Kind.COLUMN, "clicks.user_id", "web")
COUNT = Thing(Kind.FEATURE, "user_clicks:pages_count_7d", "growth")
RATE = Thing(Kind.FEATURE, "user_now:page_rate", "growth")
CHURN = Thing(Kind.SERVICE, "churn_v1", "ml")
GRAPH = Lineage(
    [PAGE, USER, COUNT, RATE, CHURN],
    [
        Arrow(PAGE, COUNT, Role.VALUE),
        Arrow(USER, COUNT, Role.KEY),
        Arrow(COUNT, RATE, Role.VALUE),
        Arrow(RATE, CHURN, Role.FEATURES),
    ],
)


def reached(found: list) -> list[tuple[str, int, str]]:
    return [(each.thing.name, each.distance, str(each.role)) for each in found]


def test_downstream_is_all_that_is_computed_from_a_thing_nearest_first() -> None:
    assert reached(GRAPH.downstream([PAGE])) == [
        ("user_clicks:pages_count_7d", 1, "value"),
        ("user_now:page_rate", 2, "value"),
        ("churn_v1", 3, "features"),
    ]
    assert GRAPH.downstream([CHURN]) == []


def test_upstream_is_all_that_a_thing_is_computed_from_nearest_first() -> None:
    assert reached(GRAPH.upstream([RATE])) == [
        ("user_clicks:pages_count_7d", 1, "value"),
        ("clicks.page", 2, "value"),
        ("clicks.user_id", 2, "key"),
    ]


def test_a_thing_is_found_by_its_full_or_short_name_or_by_what_holds_it() -> None:
    assert GRAPH.find("CLICKS.page") == [PAGE]
    assert GRAPH.find("page_rate") == [RATE]
    assert GRAPH.find("clicks") == [PAGE, USER]
    assert GRAPH.find("user_clicks") == [COUNT]
    assert GRAPH.find("churn") == []


@given(st.sets(st.tuples(st.integers(0, 7), st.integers(0, 7)).filter(lambda pair: pair[0] < pair[1]), max_size=20))
def test_whatever_is_downstream_of_a_thing_has_it_upstream(pairs: set[tuple[int, int]]) -> None:
    things = [Thing(Kind.FEATURE, f"view:f{number}") for number in range(8)]
    graph = Lineage(things, [Arrow(things[first], things[second], Role.VALUE) for first, second in pairs])
    for thing in things:
        for each in graph.downstream([thing]):
            assert thing in [back.thing for back in graph.upstream([each.thing])]
