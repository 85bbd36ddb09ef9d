"""What drops may do without a word, and how fresh a source promises to be."""

from datetime import timedelta

import pytest
import yaml

from transformations.contracts import read_contract

from .clicks import CLICKS, change, complaint


@pytest.mark.parametrize(
    ("text", "duration"),
    [("PT2H", timedelta(hours=2)), ("P1W2D", timedelta(days=9)), ("P1DT90M", timedelta(days=1, minutes=90))],
)
def test_how_far_rows_may_lie_ahead_is_a_duration(folder, text, duration):
    add(folder, "futureAllowed", text)
    assert read_contract("clicks", folder).future_allowed == duration


def test_by_default_no_row_lies_ahead_and_one_in_a_hundred_replaces_another(folder):
    clicks = read_contract("clicks", folder)
    assert (clicks.future_allowed, clicks.supersedes_allowed) == (timedelta(0), 0.01)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "futureAllowed",
            "2 hours",
            "futureAllowed is '2 hours'. Write a duration as ISO 8601 has it: PT2H, P1D, P2W.",
        ),
        ("futureAllowed", "P", "futureAllowed is 'P'."),
        ("futureAllowed", "P9999999999D", "futureAllowed is 'P9999999999D'."),
        ("supersedesAllowed", 2, "supersedesAllowed is 2. Write a share of the rows of a drop, from 0 to 1."),
        ("supersedesAllowed", "all", "supersedesAllowed is 'all'. Write a number."),
    ],
)
def test_a_limit_that_means_nothing_is_refused(folder, name, value, message):
    add(folder, name, value)
    assert message in complaint(folder)


def test_limits_on_events_need_events(folder):
    add(folder, "supersedesAllowed", 0.5)
    document = yaml.safe_load((folder / "clicks.yaml").read_text())
    document["schema"][0]["customProperties"][0] = {"property": "validFrom", "value": "2020-01-01T00:00:00+00:00"}
    (folder / "clicks.yaml").write_text(yaml.safe_dump(document))
    assert "supersedesAllowed is given, yet rows without eventTime replace none. Remove it." in complaint(folder)


def add(folder, name: str, value: object) -> None:
    """Add a property of the source."""
    document = yaml.safe_load(CLICKS)
    document["schema"][0]["customProperties"].append({"property": name, "value": value})
    (folder / "clicks.yaml").write_text(yaml.safe_dump(document))


def test_the_promised_freshness_is_the_sum_of_frequency_and_latency(folder):
    assert read_contract("clicks", folder).freshness is None
    weekly = [{"property": "frequency", "value": 1, "unit": "w"}, {"property": "retention", "value": 3, "unit": "y"}]
    change(folder, "slaProperties", value=weekly)
    assert read_contract("clicks", folder).freshness == timedelta(days=7)
    change(folder, "slaProperties", value=[*weekly, {"property": "latency", "value": 6, "unit": "h"}])
    assert read_contract("clicks", folder).freshness == timedelta(days=7, hours=6)
    change(folder, "slaProperties", value=[{"property": "latency", "value": 1.5, "unit": "hours"}])
    assert read_contract("clicks", folder).freshness == timedelta(days=1, hours=1, minutes=30)


@pytest.mark.parametrize(
    ("promise", "message"),
    [
        ({"value": 6, "unit": "moons"}, "slaProperties[0].unit of latency is 'moons'. Write one of min, minute"),
        ({"value": 6}, "slaProperties[0].unit is missing. Write the unit of latency: h, d or w."),
        ({"value": -1, "unit": "h"}, "slaProperties[0].value of latency is -1. Write a number from 0 to 100,000."),
        ({"unit": "h"}, "slaProperties[0].value of latency is None."),
    ],
)
def test_a_promise_that_means_nothing_is_refused(folder, promise, message):
    change(folder, "slaProperties", value=[{"property": "latency", **promise}])
    assert message in complaint(folder)


def test_one_promise_of_a_kind(folder):
    promise = {"property": "latency", "value": 6, "unit": "h"}
    change(folder, "slaProperties", value=[promise, promise])
    assert "slaProperties[1].property 'latency' stands twice." in complaint(folder)
