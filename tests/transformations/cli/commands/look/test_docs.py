"""`features docs`: the site holds everything offered, its links lead somewhere, and a browser can use it."""

import html
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.worlds.returns import write_dataset, write_declaration
from transformations.models.log.event_log import EventLog
from transformations.models.log.stages import register
from transformations.models.records.base import text_hash
from transformations.models.records.events import Registered

sys.path.insert(0, str(Path(__file__).parent))
import chromium

DATASET = """
owner: ml@x.org
feature_service: reading_v1
spine: {query: "SELECT user_id, clicked_at AS event_timestamp FROM raw.clicks"}
"""
EVIL = "<script>document.title = 'taken over'</script>"
TRAINING = (
    DATASET
    + """
label: {column: stays, horizon: 1 day}
split: {train: 2024-05-01, validation: 2024-05-04, test: 2024-05-07}
"""
)
FEATURE = "feature/user_clicks.attention_seconds_sum_7d.html"


@pytest.fixture
def declared(world: Any) -> Any:
    """The project with a dataset and an owner; a feature's description is hostile."""
    (world.repository / "datasets").mkdir()
    (world.repository / "datasets" / "reading.yaml").write_text(DATASET)
    (world.repository / "owners.yaml").write_text("owners: {ml@x.org: {team: Models, contact: channel models}}\n")
    world.rewrite(('description="Attention"', f'description="Attention {EVIL}"'))
    return world


def written(world: Any, name: str = "site") -> Path:
    folder: Path = world.folder / name
    result = world.run("docs", "--out", str(folder))
    assert result.exit_code == 0, result.output
    return folder


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(each.relative_to(folder)): each.read_bytes() for each in folder.rglob("*") if each.is_file()}


def text_of(page: Path) -> str:
    """What one reads on a page."""
    text = page.read_text().replace("<wbr>", "")
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", text)).split())


def test_everything_that_is_offered_has_a_page(declared: Any) -> None:
    files = set(files_of(written(declared)))
    assert {
        "index.html",
        "source/clicks.html",
        "source-column/clicks.seconds.html",
        "feature-view/user_topics.html",
        FEATURE,
        "feature-service/reading_v1.html",
        "dataset/reading.html",
        "owner/ml@x.org.html",
        "entity/user.html",
    } <= files


def test_a_feature_says_what_it_means_and_how_it_is_asked_for(declared: Any) -> None:
    shown = text_of(written(declared) / FEATURE)
    for part in (EVIL, "Unit seconds", "Expected >= 0", "Test none", "Freshness not built yet", "clicks"):
        assert part in shown
    assert '{"features": ["user_clicks:attention_seconds_sum_7d"], "entities": {"user_id": [1]}}' in shown
    assert "get_historical_features(" in shown


def test_a_dataset_shows_its_query_as_it_stands(declared: Any) -> None:
    page = (written(declared) / "dataset" / "reading.html").read_text()
    assert "<pre><code>SELECT user_id, clicked_at AS event_timestamp FROM raw.clicks</code></pre>" in page


def test_every_link_leads_to_a_file(declared: Any) -> None:
    folder = written(declared)
    for page in folder.rglob("*.html"):
        for link in re.findall(r'(?:href|src)="([^"#]+)"', page.read_text()):
            assert link == "data:," or (page.parent / html.unescape(link)).is_file(), f"{page.name}: {link}"


def test_nothing_is_fetched_from_elsewhere(declared: Any) -> None:
    for name, content in files_of(written(declared)).items():
        assert not re.search(rb"(src|href|url|@import)\W{0,3}(https?:)?//", content), name


def test_the_same_project_gives_the_same_files(declared: Any) -> None:
    assert files_of(written(declared)) == files_of(written(declared, "again"))


def test_stored_values_are_shown_but_not_those_that_lead_to_a_person(built: Any) -> None:
    folder = written(built)
    shown = text_of(folder / FEATURE)
    assert "complete through 2024-05-10" in shown
    assert "Share of rows" in shown
    assert "Expected and found" not in shown
    source = text_of(folder / "source" / "clicks.html")
    assert "Freshness complete through 2024-05-10, version 0, 3 rows in 1 drop" in source
    assert built.run("expect", "user_clicks").exit_code == 0
    shown = text_of(written(built) / FEATURE)
    assert "Expected and found Of 2 entities as-of 2024-05-11" in shown
    assert "Statistic Expected Found Value, seconds 5 % quantile" in shown
    contract = built.folder / "contracts" / "clicks.yaml"
    personal = "[{property: unit, value: seconds}, {property: pii, value: pseudonymous}]"
    contract.write_text(contract.read_text().replace("[{property: unit, value: seconds}]", personal))
    assert "Its values are pseudonymous data, so they are not shown." in text_of(written(built) / FEATURE)


def test_a_model_shows_what_it_takes_and_its_versions_and_a_dataset_what_it_was_made_of(declared: Any) -> None:
    """The manifest is of another declaration than the one that stands there now."""
    write_declaration(declared.repository, leave_out=["click_at_last_lifetime"], dataset="returns_2020")
    (declared.repository / "datasets" / "returns_2020.yaml").write_text(TRAINING)
    write_dataset(declared.settings.datasets_dir)
    registered = {each: text_hash(each) for each in ("artifact", "dataset_hash", "criteria_hash")}
    change = Registered(run_id="run", dataset="returns_2020", **registered)
    at = datetime(2024, 6, 1, tzinfo=UTC)
    register(EventLog("feature_platform"), "user_return", change, who="ada", why="trained", at=at)
    folder = written(declared)

    model = text_of(folder / "model" / "user_return.html")
    for part in ("Dataset returns_2020", "Task binary classification", "Trainer logistic", "Leaves out click_at_last"):
        assert part in model
    assert "version 1 development 2024-06-01 00:00 UTC returns_2020 not judged" in model
    takes = model.partition("Features that it takes")[2].partition("Use it")[0]
    assert "user_clicks:clicks_count_7d" in takes
    assert "click_at_last_lifetime" not in takes
    dataset = text_of(folder / "dataset" / "returns_2020.html")
    assert "Models user_return" in dataset
    assert "2020-03-01 00:00 UTC, by code abc, by a declaration that has changed since" in dataset
    assert "train 400 2020-03-01 00:00 UTC" in dataset


@pytest.mark.proof
def test_a_browser_finds_a_feature_and_clicks_to_its_source_column(declared: Any, tmp_path: Path) -> None:
    folder = written(declared)
    with chromium.browser(tmp_path / "profile") as tab:
        tab.open(folder / "index.html")
        tab.value("document.getElementById('search').focus()")
        tab.type_text("attention seven")
        assert "Nothing here" in tab.value("document.getElementById('found').textContent")
        tab.value("document.getElementById('search').value = ''")
        tab.type_text("attention seconds")
        assert tab.value("document.querySelector('#found a').firstChild.textContent") == (
            "user_clicks:attention_seconds_sum_7d"
        )
        tab.press_enter()
        tab.wait_for("document.readyState === 'complete' && location.pathname.includes('/feature/')")
        assert tab.value("document.title").startswith("user_clicks:attention_seconds_sum_7d")
        tab.click('.lineage a[href$="source-column/clicks.seconds.html"]')
        tab.wait_for("document.readyState === 'complete' && location.pathname.includes('/source-column/')")
        assert tab.value("document.querySelector('h1').textContent") == "seconds"
        assert tab.errors == []


@pytest.mark.proof
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_is_wider_than_its_window_and_every_text_stands_out(
    declared: Any, tmp_path: Path, width: int, scheme: str
) -> None:
    folder = written(declared)
    with chromium.browser(tmp_path / "profile", width) as tab:
        tab.show_as(width, scheme)
        for name in ("index.html", FEATURE, "feature-service/reading_v1.html", "source/clicks.html"):
            tab.open(folder / name)
            assert tab.value("document.documentElement.scrollWidth <= window.innerWidth"), name
            assert tab.value(chromium.CONTRASTS) >= 4.5, name  # what the guidelines of the web ask for
        assert tab.errors == []


@pytest.mark.proof
def test_a_browser_copies_an_example(declared: Any, tmp_path: Path) -> None:
    folder = written(declared)
    with chromium.browser(tmp_path / "profile") as tab:
        tab.open(folder / FEATURE)
        tab.allow("clipboardReadWrite", "clipboardSanitizedWrite")
        tab.click(".copy")
        tab.wait_for("document.querySelector('.copy').textContent === 'Copied'")
        shown = tab.value("document.querySelector('.code pre').textContent")
        assert tab.value("navigator.clipboard.readText()") == shown
