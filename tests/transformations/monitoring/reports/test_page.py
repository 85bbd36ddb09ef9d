"""The report stands alone, says first what alerts, and shows today beside the reference and the days before."""

import re
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from tests.transformations.cli.commands.look import chromium
from tests.transformations.monitoring.conftest import LAST, multiplied, publish_changed, score, watch
from tests.worlds import weekly
from transformations.engine.base.settings import get_settings
from transformations.monitoring.judging.day import judge_day
from transformations.monitoring.judging.outcomes import outcomes
from transformations.monitoring.reading.served import days_served
from transformations.monitoring.reports.page import facts_of, render_page, write_page


def test_the_page_says_what_alerts_in_the_order_business_model_infrastructure(production: Path) -> None:
    publish_changed(multiplied("spend_28d", 100.0))
    score(production)
    watched = watch(production)
    for day in days_served(weekly.MODEL, get_settings()):
        judged = judge_day(watched, day)
    facts = facts_of(watched, judged, outcomes(watched))
    page = render_page(facts)

    headings = re.findall(r'<h2 id="(\w+)">', page)
    assert headings == ["alerts", "business", "scores", "features", "infrastructure", "all"]
    assert not re.search(r'(src|href)="(?!#|data:)', page), "it needs no other file"
    first = re.search(r"<h3>(\w+)", page[page.index('id="features"') :])
    assert first is not None
    assert first[1] == "spend_28d", "what alerts comes first"
    assert f'<td class="day">{LAST}</td>' in page
    assert "features show spend_28d" in page
    assert page.count("this day") >= 4
    assert len(facts.days) == 6
    assert render_page(facts) == page
    assert write_page(watched, facts).read_text() == page

    both = {day: (*found, *(replace(each, version=2) for each in found)) for day, found in facts.days.items()}
    of_score = next(part for part in render_page(replace(facts, days=both)).split("<figure") if "score: mean" in part)
    assert [len(re.findall(f'class="point p{series}"', of_score)) for series in (0, 1)] == [6, 6]
    assert "version 1" in of_score, "versions of one day are lines of their own"
    assert "version 2" in of_score


@pytest.mark.proof
def test_the_page_is_no_wider_than_its_window_and_every_text_stands_out(scored: Path, tmp_path: Path) -> None:
    watched = watch(scored)
    for day in days_served(weekly.MODEL, get_settings()):
        judged = judge_day(watched, day)
    file = write_page(watched, facts_of(watched, judged, outcomes(watched)))
    with chromium.browser(tmp_path / "profile") as tab:
        for width, scheme in product((1280, 390), ("light", "dark")):
            tab.show_as(width, scheme)
            tab.open(file)
            assert tab.value("document.documentElement.scrollWidth <= window.innerWidth"), (width, scheme)
            assert tab.value(chromium.CONTRASTS) >= 4.5, (width, scheme)
            measures = "document.querySelectorAll('.findings td:nth-child(2)')"
            assert tab.value(f"Math.min(...[...{measures}].map((each) => each.offsetWidth))") >= 200, (width, scheme)
        assert tab.errors == []


def test_without_outcomes_and_without_alerts_the_page_says_so(scored: Path) -> None:
    watched = watch(scored)
    page = render_page(facts_of(watched, judge_day(watched), None))
    assert "No outcome is known yet." in page
    assert "Nothing alerts, of " in page
    assert 'id="alerts"' not in page
