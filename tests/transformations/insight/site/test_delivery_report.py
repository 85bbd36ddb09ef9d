"""The page about one delivery: it stands alone, and says what was found."""

import re

import pyarrow as pa
import pytest

from tests.validation.quality.events import PER_DAY, Source, rows
from transformations.contracts import read_contract
from transformations.engine.raw.zone import RawTable
from transformations.insight.site.delivery_outcomes import take_delivery
from transformations.insight.site.delivery_report import delivery_page
from validation.delivery.ingest import ContractViolationError, Delivery


@pytest.fixture
def source(tmp_path):
    source = Source(tmp_path)
    source.rules(
        {"metric": "rowCount", "mustBeLessThan": 50},
        properties=[("quarantineAllowed", 0.5)],
        amount=[{"metric": "nullValues", "mustBe": 0}],
    )
    source.ingest(rows(*((f"2020-01-{day}", "a", float(day + number)) for day in (20, 21) for number in range(9))))
    return source


def page_of(source, report) -> str:
    contract = read_contract("events", source.settings.contracts)
    table = RawTable(contract, source.settings.raw_dir)
    return delivery_page(
        contract, "drop-2.parquet", report, verdict="a <verdict>", table=table.folder, accepted=table.snapshot().drops
    )


def test_a_refused_delivery_shows_what_is_wrong_beside_the_accepted_days(source):
    bad = rows(("2020-01-22", "a", 1.0), ("2020-01-22", "<b>", None), start=100)
    with pytest.raises(ContractViolationError) as error:
        source.ingest(bad)
    page = page_of(source, error.value.report)
    assert "amount_null_values" in page
    assert "first at row 2" in page
    assert "2 accepted business days before this delivery" in page
    assert page.count('<rect class="past"') == 2  # of amount; a key has no distribution
    assert page.count('<rect class="new"') == 1
    assert "a &lt;verdict&gt;" in page
    assert "<td>row_count</td><td>rows</td><td>less than 50 rows</td><td>holds</td><td>2</td>" in page


def test_rows_set_aside_are_shown_but_for_what_is_about_a_person(source):
    path = source.settings.contracts / "events.yaml"
    personal = "customProperties:\n    - {property: pii, value: personal}\n    name: kind"
    path.write_text(path.read_text().replace("name: kind", personal, 1))
    bad = rows(("2020-01-22", "a", 1.0), ("2020-01-22", "Miller", None), start=100)
    report = source.ingest(bad, quarantine=True).report
    page = page_of(source, report)
    assert "1 by rule amount_null_values" in page
    assert "(personal)" in page
    assert "Miller" not in page


def test_a_taken_delivery_says_what_became_of_each_row(source):
    source.rules(
        {"metric": "rowCount", "mustBeLessThan": 50},
        properties=[("quarantineAllowed", 0.5), ("delivery", "upsert")],
        amount=[{"metric": "nullValues", "mustBe": 0}],
        kind=[{"metric": "nullValues", "mustBe": 0, "customProperties": PER_DAY}],
    )
    path = source.settings.contracts / "events.yaml"
    path.write_text(path.read_text().replace("version: 1.0.0", "version: 2.0.0"))
    known = ("2020-01-20", "a", 20.0)
    changed, broken, new = ("2020-01-20", "a", 99.0), ("2020-01-22", "a", None), ("2020-01-22", "a", 1.0)
    source.write(rows(known, changed, *[new] * 17, broken))
    page = source.folder / "page.html"
    take_delivery(Delivery("events", source.newest, quarantine=True), source.settings, page)
    facts = {"delivered": 20, "written": 18, "unchanged": 1, "set aside": 1}
    for name, count in facts.items():
        assert f"<dt>Rows {name}</dt><dd>{count}</dd>" in page.read_text()
    assert "<dt>Earlier rows superseded</dt><dd>17</dd>" in page.read_text()
    assert "<td>holds</td><td>0 on 2 days</td>" in page.read_text()


def test_the_page_needs_nothing_else(source):
    report = source.ingest(rows(("2020-01-22", "a", 1.0), start=100)).report
    page = page_of(source, report)
    assert re.findall(r"""(?:src|href)=["'](?!data:,)""", page) == []
    assert "http" not in page
    assert "@import" not in page
    assert isinstance(report.profile.columns, pa.Table)
