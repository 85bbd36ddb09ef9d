"""Every measure and every on-demand function of a domain file has a test of its meaning, in the test of that domain."""

from pathlib import Path

import pyarrow.compute as pc
import pytest

from transformations import Count, Float64, Sum, WindowedFeatures, at_least, days, on_demand
from transformations.engine.base.errors import UsageError
from transformations.engine.testing.literal_tables import untested_functions, untested_measures, windows_of
from transformations.insight.governance.house_rules import untested_of_domains


@on_demand(unit="USD", expect=at_least(0))
def twice(spend_sum_7d: Float64) -> Float64:
    """Twice the spend."""
    return pc.multiply(spend_sum_7d, 2.0)


USER_SPEND = WindowedFeatures(
    name="user_spend",
    join_key="user_id",
    source="payments",
    windows=[days(7), days(28)],
    description="What a user pays",
    features=[
        Sum("amount", name="spend", description="Amount paid", unit="USD"),
        Count(name="payments", description="Payments", unit="payments"),
    ],
)


def test_every_measure_and_function_of_a_domain_is_tested_there() -> None:
    missing = untested_of_domains(Path(__file__).parents[2])
    assert not missing, "ask for each of these by as_of(…), or call the function, in the test beside this one"


@pytest.fixture
def tests(tmp_path: Path) -> Path:
    return tmp_path / "test_users.py"


def test_a_measure_without_a_test_is_named_and_any_of_its_windows_will_do(tests: Path) -> None:
    assert untested_measures([USER_SPEND], []) == ["user_spend.spend", "user_spend.payments"]
    tests.write_text("def test_it():\n    spend = as_of(user_spend, 'spend_sum_28d', EVENTS)\n")
    assert untested_measures([USER_SPEND], [tests]) == ["user_spend.payments"]


def test_features_asked_for_in_a_loop_are_tested(tests: Path) -> None:
    tests.write_text(
        "def test_it():\n"
        "    for name in ('spend_sum_7d', 'payments_count_7d'):\n"
        "        assert as_of(user_spend, name, EVENTS)(1, '2020-01-01') == 2\n"
    )
    assert untested_measures([USER_SPEND], [tests]) == []


def test_a_measure_whose_windows_are_asked_for_is_tested(tests: Path) -> None:
    tests.write_text(
        "def test_it():\n"
        "    for name, days in windows_of(user_spend, 'spend'):\n"
        "        assert as_of(user_spend, name, EVENTS)(1, '2020-01-01') == days\n"
    )
    assert untested_measures([USER_SPEND], [tests]) == ["user_spend.payments"]


def test_the_windows_of_a_measure_are_its_features_with_their_days() -> None:
    assert windows_of(USER_SPEND, "spend") == [("spend_sum_7d", 7), ("spend_sum_28d", 28)]
    with pytest.raises(UsageError, match="user_spend has no measure 'spent'; did you mean 'spend'"):
        windows_of(USER_SPEND, "spent")


def test_a_feature_that_is_only_mentioned_is_not_tested(tests: Path) -> None:
    tests.write_text(
        "NAMES = ['spend_sum_7d', 'payments_count_7d']\n"
        "def test_it():\n"
        "    spend = as_of(user_spend, 'spend_sum_7d', 'payments_count_7d')  # as_of(user_spend, 'payments_count_7d')\n"
    )
    assert untested_measures([USER_SPEND], [tests]) == ["user_spend.payments"]


def test_a_function_is_tested_where_it_is_called_not_where_it_is_imported(tests: Path) -> None:
    tests.write_text("from transformations.users import twice\n")
    assert untested_functions([twice], [tests]) == ["twice"]
    tests.write_text("from transformations.users import twice\n\ndef test_it():\n    assert twice(spend) == 2\n")
    assert untested_functions([twice], [tests]) == []
