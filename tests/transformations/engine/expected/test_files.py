"""The reviewed file: what is written is read back, and what a person got wrong is named with the remedy."""

from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from transformations.engine.base.errors import UsageError
from transformations.engine.expected.files import read_expected, write_expected, written_text
from transformations.engine.expected.model import Band, ExpectedFeature, ExpectedView, Growth, Statistic

MEASURED = "measured: {from: 2024-01-01, to: 2024-03-01}\n"
RULES: dict[Statistic, Band | Growth] = {
    Statistic("", "null_share"): Band(0, 0.02),
    Statistic("quantiles", "5%"): Band(-1.5, 3),
    Statistic("quantiles", "95%"): Growth(was=40, a_day=Band(1, 2.5), within=3),
}
EXPECTED = ExpectedView(
    view="user_visits",
    first=date(2024, 1, 1),
    last=date(2024, 3, 1),
    features={"visits_count_7d": ExpectedFeature(rules=RULES, warns=frozenset({"5%", "null_share"}))},
)


def test_a_file_reads_as_it_was_meant(tmp_path: Path) -> None:
    path = write_expected(EXPECTED, {"visits_count_7d": "Visits, 7 business days; visits"}, tmp_path)
    assert path.read_text().split("\n", 3)[3] == (
        MEASURED + "features:\n"
        "  visits_count_7d:  # Visits, 7 business days; visits\n"
        "    warn: [5%, null_share]\n"
        "    null_share: [0, 0.02]\n"
        "    quantiles:\n"
        "      5%: [-1.5, 3]\n"
        "      95%: {was: 40, a_day: [1, 2.5], within: 3}\n"
    )
    assert read_expected("user_visits", tmp_path) == EXPECTED


def test_a_view_without_a_file_expects_nothing(tmp_path: Path) -> None:
    assert read_expected("user_visits", tmp_path) is None


@examples(deadline=None)
@given(st.lists(st.text(min_size=1, max_size=12), unique=True, min_size=1, max_size=5))
def test_any_text_is_a_value_of_which_a_share_can_be_expected(
    tmp_path_factory: pytest.TempPathFactory, values: list[str]
) -> None:
    rules: dict[Statistic, Band | Growth] = {Statistic("shares", value): Band(0, 1e-7) for value in values}
    expected = ExpectedView(
        view="v", first=date(2024, 1, 1), last=date(2024, 1, 1), features={"f": ExpectedFeature(rules=rules)}
    )
    folder = tmp_path_factory.mktemp("texts")
    (folder / "v.yaml").write_text(written_text(expected, {}), encoding="utf-8")
    assert read_expected("v", folder) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "features: {}\n",
            "the file has no measured. Write measured: ….",
        ),
        (
            "measured: {from: 2024-03-01, to: 2024-01-01}\nfeatures: {}\n",
            "measured 2024-03-01 is after 2024-01-01. Swap them.",
        ),
        ("measured: {from: soon, to: 2024-01-01}\nfeatures: {}\n", "measured.from is 'soon'. Write a day"),
        (
            MEASURED + "features: {f: {nul_share: [0, 1]}}\n",
            "features.f has a key 'nul_share'. did you mean 'null_share'?",
        ),
        (
            MEASURED + "features: {f: {null_share: [1, 0]}}\n",
            "features.f.null_share begins at 1, above its end 0. Swap them.",
        ),
        (MEASURED + "features: {f: {null_share: [0]}}\n", "features.f.null_share has 1 numbers. Write [least, most]."),
        (MEASURED + "features: {f: {null_share: 0.1}}\n", "features.f.null_share is 0.1. Write [least, most]"),
        (MEASURED + "features: {f: {null_share: [0, .nan]}}\n", "features.f.null_share holds nan. Write a number."),
        (
            MEASURED + "features: {f: {null_share: [0, 1], warn: [nulls]}}\n",
            "features.f.warn names 'nulls', which is no rule",
        ),
        (MEASURED + "features: {f: {quantiles: {10%: [0, 1]}}}\n", "features.f.quantiles has a key '10%'."),
        (MEASURED + "features: {f: {quantiles: {5%: {was: 1, a_day: [0, 1]}}}}\n", "quantiles.5% has no within."),
        (MEASURED + "features: {f: {quantiles: {5%: {was: 1, a_day: [0, 1], within: -1}}}}\n", "within is negative."),
        ("measured: [\n", "is no YAML"),
    ],
)
def test_a_mistake_in_the_file_is_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "v.yaml").write_text(text)
    with pytest.raises(UsageError) as error:
        read_expected("v", tmp_path)
    assert said in str(error.value)
    assert str(tmp_path / "v.yaml") in str(error.value)
