"""Whatever is built, merged, given up and loaded, in whatever order: a load considers what it would have considered.

Each history is performed twice, on a table whose files are merged now and then and on one whose files never are.
"""

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from feast import Entity, FeatureStore
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.worlds.merging import DOMAIN, SPEND, Aging, same
from tests.worlds.processes import start
from transformations.engine.base.settings import Settings, get_settings
from transformations.engine.tables.pins import pin
from transformations.engine.upkeep.integrity import examine_table
from transformations.stores.redis.loaded import loaded_views
from transformations.stores.views import feature_view

Worlds = Callable[[], tuple[Aging, Aging]]
HISTORIES = ["".join(steps) for steps in product("bcl", repeat=3)]
LONG_HISTORIES = ["".join(steps) for steps in product("bcl", repeat=6)]


@pytest.fixture
def worlds(
    store_of: Callable[..., FeatureStore],
    module_of: Callable[[str, str], ModuleType],
    settings: Settings,
    user: Entity,
    contracts: Any,
) -> Worlds:
    domain, store = module_of("merging_domain", DOMAIN), store_of()
    views = [feature_view(each, entity=user, owner="me@x.org") for each in (domain.merged_visits, domain.plain_visits)]

    def make() -> tuple[Aging, Aging]:
        shutil.rmtree(settings.offline_dir, ignore_errors=True)
        merged, plain = (Aging(view, settings, store.config) for view in views)
        return merged, plain

    return make


def perform(worlds: Worlds, steps: str) -> tuple[Aging, Aging]:
    """b: a build, r: a rebuild, l: a load; of the first table alone, c: compaction, v: vacuum."""
    merged, plain = worlds()
    for step in steps:
        for each in (merged, plain):
            match step:
                case "b":
                    each.build(((1, 2), (2, 3), (3,))[each.runs % 3])
                case "r":
                    each.build((1, 3), kind="rebuild")
                case "l":
                    each.load()
                case "c" if each is merged:
                    each.compact()
                case "v" if each is merged:
                    each.vacuum()
    return merged, plain


@pytest.mark.parametrize("steps", HISTORIES)
def test_a_load_after_any_order_of_builds_and_merges_considers_what_it_would_without_them(
    worlds: Worlds, steps: str
) -> None:
    merged, plain = perform(worlds, f"bb{steps}l")
    assert same(merged, plain)


@pytest.mark.proof
def test_every_order_of_six_steps_loads_and_reads_the_same(worlds: Worlds) -> None:
    for steps in LONG_HISTORIES:
        assert same(*perform(worlds, f"b{steps}l")), steps


@hypothesis_settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.text("bbccllvr", min_size=3, max_size=8))
def test_files_given_up_and_tables_rebuilt_change_nothing_of_that(worlds: Worlds, steps: str) -> None:
    merged, plain = perform(worlds, f"bcb{steps}l")
    assert same(merged, plain), steps


def test_a_load_at_the_merged_version_or_past_it_considers_nothing_because_of_it(worlds: Worlds) -> None:
    merged, _ = worlds()
    merged.build()
    merged.load()
    done = merged.compact()
    assert done is not None
    assert merged.load() == 0
    merged.build((2, 3))
    assert merged.load() == 2
    merged.compact()
    assert merged.load() == 0


def test_a_load_from_before_the_merge_reads_the_files_from_before_it_which_vacuum_keeps_for_it(worlds: Worlds) -> None:
    merged, _ = worlds()
    merged.build((1, 2, 3))
    merged.load()
    merged.build((2,))
    merged.build((3,))
    merged.compact()
    assert merged.vacuum() == 2  # of the first run, which the load has read
    assert merged.load() == 2
    assert merged.vacuum() == 4
    merged.build((1,))
    assert merged.load() == 1


def test_without_the_files_from_before_the_merge_all_rows_are_loaded(
    worlds: Worlds,
) -> None:
    merged, _ = worlds()
    merged.build((1, 2, 3))
    merged.load()
    merged.build((2,))
    merged.compact()
    merged.vacuum(knows_loads=False)
    assert merged.load() == 3
    assert [merged.online[user][3] for user in (1, 2, 3)] == [0.0, 1.0, 0.0]


def test_every_version_reads_as_before_a_merge_and_a_pinned_one_outlives_vacuum(worlds: Worlds) -> None:
    merged, plain = worlds()
    for users in ((1, 2), (2, 3), (3,)):
        merged.build(users)
        plain.build(users)
    pin(merged.table, 1, "dataset churn")
    merged.compact()
    assert [merged.rows(version) for version in range(3)] == [plain.rows(version) for version in range(3)]
    assert merged.rows(3) == plain.rows(2)
    merged.vacuum()
    assert (merged.rows(1), merged.rows(3)) == (plain.rows(1), plain.rows(2))


def test_a_real_load_counts_the_same_rows_and_serves_the_same_values(
    worlds: Worlds, store_of: Callable[..., FeatureStore], user: Entity, redis: Any, caplog: pytest.LogCaptureFixture
) -> None:
    merged, plain = worlds()
    store = store_of(user, merged.view, plain.view)
    counts = []
    for step in range(3):
        for each in (merged, plain):
            each.build((1, 2, 3) if step == 0 else (step,))
        if step:
            merged.compact()
        if step == 2:
            merged.vacuum(knows_loads=False)
        store.materialize(datetime(2024, 1, 1 + step, tzinfo=UTC), datetime(2024, 1, 2 + step, tzinfo=UTC))
        loaded = loaded_views(store, get_settings())
        counts.append([loaded[each.view.name].rows for each in (merged, plain)])
    assert counts == [[3, 3], [1, 1], [3, 1]]  # the last: its new files were given up
    assert "2 of 2 files with rows that are new since the last load" in caplog.text
    names = [f"{each.view.name}:{SPEND}" for each in (merged, plain)]
    found = store.get_online_features(names, [{"user_id": key} for key in (1, 2, 3)], full_feature_names=True).to_dict()
    assert found[f"merged_visits__{SPEND}"] == found[f"plain_visits__{SPEND}"]


MERGING = """
import sys
from pathlib import Path
from transformations.engine.base.settings import get_settings
from transformations.engine.tables.compaction import compact_table
from transformations.engine.tables.offline_tables import OfflineTable

folder = Path(sys.argv[1])
print("started", flush=True)
while not (folder.parent / "stop").exists():
    compact_table(OfflineTable(folder), get_settings())
"""


@pytest.mark.proof
def test_a_process_that_merges_all_the_time_is_noticed_by_no_build_load_or_reader(
    worlds: Worlds, tmp_path: Path
) -> None:
    merged, plain = worlds()
    for each in (merged, plain):
        each.build()
    process = start(MERGING, str(merged.table.path), output=tmp_path / "output")
    process.wait_for("started")
    for number in range(9):
        for each in (merged, plain):
            each.build(((1, 2), (2, 3), (3,))[number % 3])
            if number % 3 == 2:
                each.load()
        assert same(merged, plain)
    (merged.table.path.parent / "stop").touch()
    assert process.wait() == (0, "started\n")
    compactions = merged.table.newest().version - 9
    assert compactions >= 1
    assert same(merged, plain)
    assert examine_table("offline", merged.table.path).faults == []
