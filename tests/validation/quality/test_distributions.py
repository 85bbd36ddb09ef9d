"""A day's values against those accepted on the same weekday before, measured as Great Expectations measures them."""

import math

import pytest

from validation.quality.distributions import divergence

from .events import rows

KL = "expect_column_kl_divergence_to_be_less_than"
COMPARED = [{"property": "comparedWith", "value": "acceptedDrops"}]


def compared(threshold, **arguments):
    implementation = {"type": KL, "kwargs": {"threshold": threshold, **arguments}}
    return {
        "name": "shape",
        "type": "custom",
        "engine": "greatExpectations",
        "implementation": implementation,
        "customProperties": COMPARED,
    }


def of_day(number, amounts, start):
    return rows(*((f"2020-01-{number:02d}", "click", amount) for amount in amounts), start=start)


SPREAD = [float(value) for value in range(100)]


def test_weekdays_are_compared_with_weekdays(source):
    source.rules(amount=[compared(0.1)])
    high = [value + 1000 for value in SPREAD]
    # The 23rd and 30th are Thursdays, the 24th and 31st Fridays.
    assert source.broken(of_day(23, SPREAD, 1)) == ""
    assert source.broken(of_day(24, high, 1001)) == ""
    assert source.broken(of_day(30, SPREAD, 2001)) == ""
    assert "rule 'shape' of column 'amount': 1 of 1 business day" in source.broken(of_day(31, SPREAD, 3001))
    assert source.broken(of_day(31, high, 3001)) == ""


def test_a_day_is_compared_up_to_the_threshold(source):
    # The deciles of 0, 1, … 99 are 9, 19, … 89: 9 values below the first, 10 in each bin, 11 from the last on.
    without_the_lowest = [value if value >= 9 else value + 9 for value in SPREAD]
    expected = {0: 9, **dict.fromkeys(range(1, 9), 10), 9: 11}
    observed = divergence(expected, {**dict.fromkeys(range(2, 9), 10), 1: 19, 9: 11}, 0.01)
    for threshold, is_broken in ((observed - 1e-9, True), (observed + 1e-9, False)):
        source.rules(amount=[compared(threshold)])
        source.ingest(of_day(23, SPREAD, 1), correction=True)
        assert bool(source.broken(of_day(30, without_the_lowest, 1001))) is is_broken


def test_texts_are_compared_value_by_value(source):
    source.rules(kind=[compared(0.1)])
    half = [("2020-01-23", "a" if number % 2 else "b") for number in range(100)]
    source.ingest(rows(*half))
    lost = [("2020-01-30", "a")] * 100
    assert "(2020-01-30 diverges by 0.693147), allowed at most 0.1" in source.broken(rows(*lost, start=1001))
    assert source.broken(rows(*(("2020-01-30", kind) for _, kind in half), start=1001)) == ""


def test_a_day_without_enough_to_compare_with_is_told(source):
    source.rules(amount=[compared(0.1)])
    (note,) = source.ingest(of_day(23, SPREAD, 1)).notes
    assert note.startswith("rule 'shape' did not judge 2020-01-23: fewer than 100 values delivered, or accepted on")


@pytest.mark.parametrize(
    ("expected", "observed", "unseen", "nats"),
    [
        ({"a": 50, "b": 50}, {"a": 50, "b": 50}, 0.01, 0.0),
        ({"a": 50, "b": 50}, {"a": 100}, 0.01, math.log(2)),
        ({"a": 100}, {"a": 99, "b": 1}, 0.01, 0.0),
        ({"a": 100}, {"a": 99, "b": 1}, 0.0, math.inf),
    ],
)
def test_the_divergence_is_a_sum_over_shares(expected, observed, unseen, nats):
    assert divergence(expected, observed, unseen) == pytest.approx(nats, abs=1e-12)
