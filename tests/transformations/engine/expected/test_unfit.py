"""Rules that no values could break or keep are refused, not left unjudged."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.transformations.engine.expected.tables import DAY, VIEW
from transformations.engine.base.errors import UsageError
from transformations.engine.expected.model import Band, ExpectedFeature, ExpectedView, Statistic
from transformations.engine.expected.unfit import refuse_unfit_rules, unfit_rules, unknown_features

ANY = Band(0.0, 1.0)


def expected(feature: str, *statistics: Statistic) -> ExpectedView:
    rules = ExpectedFeature(rules=dict.fromkeys(statistics, ANY))
    return ExpectedView(view=VIEW.name, first=DAY, last=DAY, features={feature: rules})


MEDIAN, OF_A, OTHERS = Statistic("quantiles", "50%"), Statistic("shares", "a"), Statistic("", "others")
NULLS, OUTSIDE = Statistic("", "null_share"), Statistic("", "outside_range")


@pytest.mark.parametrize(
    ("feature", "statistics", "why"),
    [
        ("page_last_7d", [MEDIAN], "features.page_last_7d.quantiles cannot be judged: String has shares of its valu"),
        ("page_last_7d", [OUTSIDE], "features.page_last_7d.outside_range cannot be judged: the definition declares no"),
        ("page_last_7d", [OTHERS], "features.page_last_7d.others cannot be judged: no value has a share of its own"),
        ("clicks_count_7d", [OF_A], "features.clicks_count_7d.shares cannot be judged: Int64 has quantiles, no sha"),
        ("click_at_last_lifetime", [OTHERS], "no value has a share of its own"),
        ("page_last_7d", [OF_A, OTHERS, NULLS], None),
        ("clicks_count_7d", [MEDIAN, OUTSIDE, NULLS], None),
        ("click_at_last_lifetime", [MEDIAN], None),
        ("gone_7d", [MEDIAN], None),
    ],
)
def test_a_rule_fits_its_feature_or_is_named(feature: str, statistics: list[Statistic], why: str | None) -> None:
    found = [str(each) for each in unfit_rules(VIEW, expected(feature, *statistics))]
    assert len(found) == (0 if why is None else 1)
    assert why is None or why in found[0]


def test_a_build_is_refused_before_it_computes(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"user_clicks.yaml: features.page_last_7d.quantiles cannot .* Remove the rule"
    ):
        refuse_unfit_rules(VIEW, expected("page_last_7d", MEDIAN), tmp_path)
    refuse_unfit_rules(VIEW, None, tmp_path)


def test_a_feature_that_the_view_lacks_is_told_with_what_it_has() -> None:
    rules = replace(expected("click_count_7d", MEDIAN))
    assert unknown_features(VIEW, rules)["click_count_7d"].startswith("did you mean 'clicks_count_7d'")
