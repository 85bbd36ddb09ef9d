"""The report and the model card of one small evaluation: whole, self-contained, alike for like facts, and escaped."""

import re
from datetime import UTC, datetime
from html.parser import HTMLParser

import numpy as np
import pyarrow as pa
import pytest

from transformations.models.evaluation.evaluation import Production, evaluate, segments_of
from transformations.models.evaluation.facts import Evaluation, Subject
from transformations.models.evaluation.gates import judge
from transformations.models.evaluation.intervals import MODEL, Scored
from transformations.models.evaluation.metrics import Floats
from transformations.models.evaluation.resampling import Clusters
from transformations.models.records.base import text_hash
from transformations.models.records.criteria import PRODUCTION, Baseline, Criteria, Gate
from transformations.models.records.gates import GateReport
from transformations.models.reports.card import render_card
from transformations.models.reports.page import render_page

HASH = "ab" * 32
NOW = datetime(2020, 5, 1, 12, tzinfo=UTC)
WEEK_MICROS = 7 * 86_400 * 10**6
CRITERIA = Criteria(
    entity="who",
    draws=100,
    baselines={"prior": Baseline(kind="prior")},
    gates=(
        Gate(metric="log_loss", beats="prior", entities=50, positives=20),
        Gate(metric="average_precision", at_least=0.99, entities=50, positives=20),
        Gate(metric="roc_auc", at_least=0.5),
    ),
)


def score(rows: pa.Table) -> Floats:
    return np.asarray(1 / (1 + np.exp(-2 * rows["signal"].to_numpy())))


def facts(is_classification: bool = True) -> tuple[Evaluation, GateReport]:
    chance = np.random.default_rng(0)
    signal = chance.normal(size=300)
    rows = pa.table({"signal": signal, "place": ["<b>town</b>" if each else "sea" for each in signal > 0]})
    left = chance.random(300) < score(rows)
    scored = Scored(
        labels=left if is_classification else signal,
        predictions={MODEL: score(rows), "prior": np.full(300, 0.5)},
        clusters=Clusters.of(np.arange(300) % 100),
        moments=np.int64(1_583_107_200_000_000) + np.arange(300) // 100 * WEEK_MICROS,
        segments=segments_of(rows, ["place"]),
    )
    criteria = CRITERIA if is_classification else Criteria(entity="who", gates=(Gate(metric="mae", at_most=1.0),))
    subject = Subject(
        model="churn",
        version=2,
        artifact=HASH,
        description="Who leaves & why",
        owner="growth",
        dataset="churn_2020",
        dataset_hash=HASH,
        criteria_hash=criteria.hash,
        task="binary_classification" if is_classification else "regression",
        label="left",
        entity="who",
        trainer="logistic",
        unit="" if is_classification else "USD",
        trained_on={"train": 900},
    )
    later = Scored(**{**vars(scored), "predictions": {MODEL: score(rows), PRODUCTION: np.full(300, 0.4)}})
    evaluation = evaluate(
        subject,
        criteria,
        scored,
        rows,
        score,
        ["signal"],
        look=2,
        at=NOW,
        production=Production(version=1, seen_until=NOW, scored=later) if is_classification else None,
    )
    report = GateReport(
        model="churn",
        version=2,
        artifact=HASH,
        dataset="churn_2020",
        dataset_hash=HASH,
        criteria_hash=criteria.hash,
        look=2,
        evaluated_at=NOW,
        evidence=text_hash(evaluation.text()),
        results=judge(criteria, scored, look=2),
    )
    return evaluation, report


@pytest.fixture(scope="module")
def churn() -> tuple[Evaluation, GateReport]:
    return facts()


class Reader(HTMLParser):
    """Collects text, headings and links, and holds that every element is closed in its turn."""

    void = frozenset({"meta", "link", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: set[str] = set()
        self.targets: set[str] = set()
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.void:
            self.open.append(tag)
        found = dict(attrs)
        self.ids |= {str(found["id"])} if "id" in found else set()
        self.targets |= {str(found["href"])} if "href" in found else set()
        assert "src" not in found

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ("line", "path")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "title"):
            self.text.append(data.strip())


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    return reader


def test_the_page_needs_no_other_file_and_its_links_lead_somewhere(churn: tuple[Evaluation, GateReport]) -> None:
    page = render_page(*churn)
    found = read(page)
    assert {target for target in found.targets if not target.startswith("#")} == {"data:,"}
    assert {target.removeprefix("#") for target in found.targets if target.startswith("#")} <= found.ids
    assert "http" not in page
    assert not re.search(r"\bnan\b", page)


def test_the_page_shows_every_gate_with_its_figures_and_what_is_missing(churn: tuple[Evaluation, GateReport]) -> None:
    text = " ".join(read(render_page(*churn)).text)
    assert "Stopped: 2 of 3 gates did not pass (1 for lack of evidence)." in text
    assert "log loss beats prior" in text
    assert "the lower end must be at least 0.99; it is" in text
    assert "needs 200 entities and 200 with a true label; there are 100 entities, " in text
    assert "2 of at most 10 at this period" in text


def test_the_page_draws_every_chart(churn: tuple[Evaluation, GateReport]) -> None:
    page = render_page(*churn)
    titles = re.findall("<figcaption>(.+?)</figcaption>", page)
    assert titles == [
        "Reliability",
        "Precision and recall",
        "ROC",
        "Scores by label",
        "Log loss by week",
        "Average precision by week",
    ]
    assert len(re.findall('class="whisker"', page)) == 6  # three weeks, two charts
    assert "Against version 1 in production" in page


def test_texts_are_escaped(churn: tuple[Evaluation, GateReport]) -> None:
    page = render_page(*churn)
    assert "&lt;b&gt;town&lt;/b&gt;" in page
    assert "<b>town" not in page
    assert "Who leaves &amp; why" in page


def test_like_facts_give_like_texts(churn: tuple[Evaluation, GateReport]) -> None:
    evaluation, report = churn
    again = Evaluation.from_text(evaluation.text(), "here")
    assert render_page(again, report) == render_page(evaluation, report)
    assert render_card(again, report) == render_card(evaluation, report)


def test_the_card_says_the_same_in_markdown(churn: tuple[Evaluation, GateReport]) -> None:
    evaluation, report = churn
    card = render_card(evaluation, report)
    headings = re.findall("^#+ (.+)$", card, re.MULTILINE)
    assert headings == [
        "churn, version 2",
        "Gates",
        "Figures",
        "Against version 1 in production",
        "By place",
        "What it goes by",
        "Cost",
    ]
    tables = re.findall(r"(?:^\|.+\n)+", card, re.MULTILINE)
    assert all(len({row.count("|") for row in table.splitlines()}) == 1 for table in tables)
    assert "Stopped: 2 of 3 gates did not pass" in card


def test_a_model_without_gates_and_a_regression_have_pages_too(churn: tuple[Evaluation, GateReport]) -> None:
    assert 'id="gates"' not in render_page(churn[0], None)
    evaluation, report = facts(is_classification=False)
    page = render_page(evaluation, report)
    read(page)
    assert re.findall("<figcaption>(.+?)</figcaption>", page) == [
        "Reliability",
        "Errors",
        "Mean absolute error by week",
    ]
    assert "prediction less label in USD" in page
    assert "mean absolute error" in render_card(evaluation, report)
