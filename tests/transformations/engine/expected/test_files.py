"""The reviewed file: what is written is read back, and what a person got wrong is named with the remedy."""

from datetime import date
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from transformations.engine.base.errors import DiskError, UsageError
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
    (tmp_path / "expectations").write_text("no folder")
    with pytest.raises(DiskError, match=f"^{tmp_path}/expectations is a file where a folder is needed"):
        read_expected("user_visits", tmp_path / "expectations")


@examples(deadline=None)
@example(["\xad", "\u202e"])
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
        (MEASURED + "features: {f: {null_share: [0]}}\n", "features.f.null_share has 1 number. Write [least, most]."),
        (MEASURED + "features: {f: {null_share: 0.1}}\n", "features.f.null_share is 0.1. Write [least, most]"),
        (MEASURED + "features: {f: {null_share: [0, .nan]}}\n", "features.f.null_share holds nan. Write a number."),
        (
            MEASURED + "features: {f: {null_share: [0, 1], warn: [nulls]}}\n",
            "features.f.warn names 'nulls', which is no rule",
        ),
        (MEASURED + "features: {f: {quantiles: {10%: [0, 1]}}}\n", "features.f.quantiles has a key '10%'."),
        (MEASURED + "features: {f: {quantiles: {5%: {was: 1, a_day: [0, 1]}}}}\n", "quantiles.5% has no within."),
        (MEASURED + "features: {f: {quantiles: {5%: {was: 1, a_day: [0, 1], within: -1}}}}\n", "within is negative."),
        ("measured: [\n", "v.yaml: line 2, column 1: expected the node content"),
        ("measured: {from: 2024-13-01, to: 2024-01-01}\n", "line 1, column 18: month must be in 1..12"),
        (MEASURED + "features:\n  f: {null_share: [0, 1]}\n  f: {}\n", "line 4, column 3: the key 'f' stands twice"),
        (
            MEASURED + "features: {f: {shares: {true: [0, 1], 'true': [0, 1]}}}\n",
            "shares has two keys 'true'. Keep one",
        ),
        (MEASURED + "features: [f]\n", "features holds no keys."),
        (MEASURED + "entities: many\nfeatures: {}\n", "entities is 'many'. Write [least, most], or {was"),
    ],
)
def test_a_mistake_in_the_file_is_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "v.yaml").write_text(text)
    with pytest.raises(UsageError) as error:
        read_expected("v", tmp_path)
    assert said in str(error.value)
    assert str(tmp_path / "v.yaml") in str(error.value)


def test_every_mistake_is_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "v.yaml").write_text(
        MEASURED + "features:\n"
        "  visits:\n"
        "    null_share: [0, 2%]\n"
        "    quantiles:\n"
        "      5%: [3, 1]\n"
        "      95%: [3, 4]\n"
        "  page:\n"
        "    share: {a: [0, 1]}\n"
    )
    with pytest.raises(UsageError) as error:
        read_expected("v", tmp_path)
    lines = [line.removeprefix(str(tmp_path / "v.yaml")) for line in str(error.value).splitlines()]
    assert [line[: line.index(" ", 4)] for line in lines] == [
        ":4: features.visits.null_share",
        ":6: features.visits.quantiles.5%",
        ":9: features.page",
    ]


def test_booleans_are_values_as_the_table_has_them(tmp_path: Path) -> None:
    """YAML reads `true` as a truth value, and `7` as a number."""
    (tmp_path / "v.yaml").write_text(
        MEASURED + "features: {f: {shares: {true: [0.1, 0.2], 7: [0, 1]}, warn: [true]}}\n"
    )
    expected = read_expected("v", tmp_path)
    assert expected is not None
    assert [statistic.name for statistic in expected.features["f"].rules] == ["true", "7"]
    assert expected.features["f"].warns == {"true"}
