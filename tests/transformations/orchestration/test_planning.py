"""The plan: which task waits for which, from literal declarations."""

import pytest

from transformations.engine.base.errors import DataError
from transformations.orchestration.planning import Declared, DeclaredModel, DeclaredSource, DeclaredView, plan_of
from transformations.orchestration.tasks import Kind, Pipeline

SHOP = Declared(
    sources=[
        DeclaredSource(name="clicks", zone="UTC", refers=("pages",)),
        DeclaredSource(name="pages", zone="UTC"),
    ],
    views=[
        DeclaredView(name="user_clicks", sources=("clicks", "pages"), zone="UTC"),
        DeclaredView(name="page_topic", sources=("pages",), zone="UTC", online=False),
    ],
    computed={"user_now": ("user_clicks",)},
    datasets={"reading": ("user_clicks", "page_topic", "user_now")},
    models=[DeclaredModel(name="reader", dataset="reading", views=("user_clicks", "page_topic", "user_now"))],
)
TABLE = """
ingest:pages         | |
ingest:clicks        | | | ingest:pages
build:page_topic     | ingest:pages
build:user_clicks    | ingest:clicks ingest:pages
apply                | | | build:user_clicks build:page_topic
load:user_clicks     | build:user_clicks apply
parity:user_clicks   | load:user_clicks
parity:user_now      | load:user_clicks
dataset:reading      | build:user_clicks build:page_topic apply | parity:user_clicks parity:user_now
model:reader         | dataset:reading
rollout:reader       | | | model:reader
predict:reader       | build:user_clicks build:page_topic apply | parity:user_clicks parity:user_now | rollout:reader
collect              |
monitor:reader       | | | predict:reader collect
"""
"""A task a line: what it needs, what it trusts, after what it comes."""


def test_the_plan_of_a_shop_reads_from_delivered_file_to_monitored_prediction() -> None:
    rows = [[part.split() for part in f"{line}|||".split("|")[:4]] for line in TABLE.strip().splitlines()]
    expected = [(name[0], tuple(needs), tuple(trusts), tuple(after)) for name, needs, trusts, after in rows]
    assert [(task.name, task.needs, task.trusts, task.after) for task in plan_of(SHOP).tasks] == expected


def test_each_task_comes_after_all_that_it_waits_for() -> None:
    tasks = plan_of(SHOP).tasks
    places = {task.name: place for place, task in enumerate(tasks)}
    assert all(places[before] < places[task.name] for task in tasks for before in task.earlier)


def test_the_order_in_which_things_are_declared_does_not_matter() -> None:
    turned = Declared(
        sources=SHOP.sources[::-1],
        views=SHOP.views[::-1],
        computed=SHOP.computed,
        datasets=SHOP.datasets,
        models=SHOP.models,
    )
    assert [task.name for task in plan_of(turned).tasks] == [task.name for task in plan_of(SHOP).tasks]


def test_a_repository_without_models_has_no_training_and_no_serving() -> None:
    plan = plan_of(Declared(sources=SHOP.sources, views=SHOP.views))
    assert {task.sort.pipeline for task in plan.tasks} == {Pipeline.INGESTION, Pipeline.FEATURES}


def test_a_model_of_a_dataset_that_nobody_declares_is_released_from_the_one_there_is() -> None:
    plan = plan_of(Declared(models=[DeclaredModel(name="reader", dataset="bought", views=())]))
    assert plan.task("model:reader").needs == ()


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        (["ingestion"], ["ingest:pages", "ingest:clicks"]),
        (["parity"], ["parity:user_clicks", "parity:user_now"]),
        (["collect", "apply"], ["apply", "collect"]),
        ([], [line.split()[0] for line in TABLE.strip().splitlines()]),
    ],
)
def test_a_part_is_a_pipeline_a_kind_or_a_task(wanted: list[str], names: list[str]) -> None:
    plan = plan_of(SHOP)
    assert [task.name for task in plan.select(wanted)] == names
    assert set(wanted) <= set(plan.words())


def test_sources_that_refer_to_each_other_in_a_circle_are_named() -> None:
    circle = [DeclaredSource(name=one, zone="UTC", refers=(other,)) for one, other in (("a", "b"), ("b", "a"))]
    with pytest.raises(DataError, match=r"in a circle: ingest:\w → ingest:\w → ingest:\w"):
        plan_of(Declared(sources=circle))


def test_every_kind_of_task_has_its_pipeline() -> None:
    assert {task.kind for task in plan_of(SHOP).tasks} == set(Kind)
