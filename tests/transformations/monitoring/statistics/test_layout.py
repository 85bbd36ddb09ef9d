"""Values are counted on the bins of an artifact's reference, each where the definition of a bin says."""

from collections import Counter

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from transformations.models.fitting.reference import histogram
from transformations.models.records.reference import Categories, Histogram
from transformations.monitoring.statistics.effects import jensen_shannon, psi
from transformations.monitoring.statistics.layout import Layout, code, tally

AMOUNT = Histogram(edges=(0.0, 10.0), counts=(1, 2, 3), nulls=4)
COLOR = Categories(counts={"red": 5, "blue": 2}, others=1, nulls=2)
LAYOUT = Layout({"amount": AMOUNT, "color": COLOR})


def test_one_row_of_counts_holds_every_bin_and_then_the_nulls_of_each_feature() -> None:
    assert LAYOUT.reference().tolist() == [1, 2, 3, 4, 5, 2, 1, 2]
    assert LAYOUT.of("color", LAYOUT.reference()) == [5, 2, 1, 2]
    assert LAYOUT.row({"color": [1, 1, 1, 1]}).tolist() == [0, 0, 0, 0, 1, 1, 1, 1]


def test_an_edge_opens_its_bin_and_an_unknown_category_is_one_of_the_others() -> None:
    codes = LAYOUT.codes(
        {
            "amount": pa.array([-0.1, 0.0, 9.9, 10.0, None, float("nan")]),
            "color": pa.array(["blue", "red", "green", None, "red", ""]),
        }
    )
    assert LAYOUT.of("amount", LAYOUT.count(codes)) == [1, 2, 1, 2]
    assert LAYOUT.of("color", LAYOUT.count(codes)) == [2, 1, 2, 1]


@given(
    st.lists(
        st.one_of(st.none(), st.floats(-1e6, 1e6), st.integers(0, 3).map(float), st.just(float("-inf"))), max_size=60
    ),
    st.lists(st.floats(-1e6, 1e6), max_size=8, unique=True),
)
def test_counting_is_the_definition_of_a_bin(values: list[float | None], edges: list[float]) -> None:
    bins = Histogram(edges=tuple(sorted(edges)), counts=(0,) * (len(edges) + 1), nulls=0)
    layout = Layout({"x": bins})
    column = pa.array(values, pa.float64())
    found = layout.count(layout.codes({"x": column}))
    expected = Counter(
        len(edges) + 1 if value is None else sum(edge <= value for edge in bins.edges) for value in values
    )
    assert found.tolist() == [expected[place] for place in range(len(edges) + 2)]
    assert tally(bins, column).tolist() == found.tolist()


def test_a_column_of_many_values_is_tallied_part_by_part() -> None:
    values = np.random.default_rng(1).normal(size=150_000)
    values[::7] = np.nan
    bins = histogram(values[:5_000])
    column = pa.array(values, from_pandas=True)
    assert tally(bins, column).tolist() == np.bincount(code(bins, column)).tolist()
    assert tally(COLOR, pa.array(["blue", "tea", None, "red", "red"])).tolist() == [2, 1, 1, 1]


def test_numbers_have_a_stability_index_and_categories_a_divergence() -> None:
    current = np.array([1, 2, 3, 40, 1, 2, 5, 0])
    found = LAYOUT.effects(LAYOUT.reference(), current)
    assert found.values.tolist() == [
        float(psi(np.array([1, 2, 3]), np.array([1, 2, 3]))),
        float(jensen_shannon(np.array([5, 2, 1]), np.array([1, 2, 5]))),
    ]
    assert found.nulls.tolist() == [40 / 46 - 4 / 10, 0 - 2 / 10]
    assert found.unseen.tolist() == [0.0, 5 / 8 - 1 / 10]


def test_a_value_that_alone_fills_a_bin_is_alone_in_it() -> None:
    """Else a rare number beside many zeros would have no bin of its own, and could change unseen."""
    found = histogram(np.array([0.0] * 95 + [1.0, 2.0, 3.0, 4.0, np.nan]))
    assert (found.edges, found.counts, found.nulls) == ((0.0, 1.0), (0, 95, 4), 1)
    assert histogram(np.zeros(9)).counts == (0, 9)
