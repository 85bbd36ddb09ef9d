"""Versions of a contract: what may change under which version, and the law that makes a change compatible."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transformations.contracts.model import Column, Contract
from transformations.engine.raw.contract_terms import TermChange, changes_between, needs_version, terms_of

PAGE = Column("page", "String", True, "The page", allowed=("home", "cart"))
AMOUNT = Column("amount", "Float64", False, "Paid", unit="USD", minimum=0.0)
CLICKS = Contract(
    name="clicks",
    version="1.2.0",
    description="One click",
    owner="web",
    columns=(PAGE, AMOUNT),
    key=(),
    event_time=None,
    timestamp_zone="UTC",
    business_day_zone="UTC",
    valid_from=None,
    delivery="append",
)


def changed(*columns: Column, **facts: object) -> list[TermChange]:
    after = replace(CLICKS, columns=columns or CLICKS.columns, **facts)
    return changes_between("clicks", terms_of(CLICKS), terms_of(after))


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ((PAGE, AMOUNT, Column("tip", "Float64", True, "Tip")), "clicks.tip is new"),
        ((replace(PAGE, allowed=("home", "cart", "pay")), AMOUNT), "valid values was home, cart, is home, cart, pay"),
        ((replace(PAGE, allowed=()), AMOUNT), "valid values was home, cart, is none"),
        ((PAGE, replace(AMOUNT, nullable=True)), "clicks.amount: required was true, is false"),
        ((PAGE, replace(AMOUNT, minimum=-1.0)), "clicks.amount: minimum was 0.0, is -1.0"),
        ((PAGE, replace(AMOUNT, minimum=None)), "clicks.amount: minimum was 0.0, is none"),
    ],
)
def test_a_change_that_every_stored_row_survives_is_compatible(columns: tuple[Column, ...], said: str) -> None:
    (change,) = changed(*columns)
    assert change.is_compatible
    assert said in str(change)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ((AMOUNT,), "clicks.page is gone"),
        ((PAGE, AMOUNT, Column("tip", "Float64", False, "Tip")), "clicks.tip is new"),
        ((replace(PAGE, nullable=False), AMOUNT), "clicks.page: required was false, is true"),
        ((replace(PAGE, allowed=("home",)), AMOUNT), "valid values was home, cart, is home"),
        ((PAGE, replace(AMOUNT, maximum=9.0)), "clicks.amount: maximum was none, is 9.0"),
        ((PAGE, replace(AMOUNT, minimum=1.0)), "clicks.amount: minimum was 0.0, is 1.0"),
        ((PAGE, replace(AMOUNT, unit="EUR")), "clicks.amount: unit was USD, is EUR"),
        ((PAGE, replace(AMOUNT, dtype="Int64")), "clicks.amount: dtype was Float64, is Int64"),
    ],
)
def test_a_change_that_a_stored_row_or_a_reader_may_not_survive_is_incompatible(
    columns: tuple[Column, ...], said: str
) -> None:
    (change,) = changed(*columns)
    assert not change.is_compatible
    assert said in str(change)


def test_another_key_or_zone_is_incompatible() -> None:
    changes = changed(key=("page",), business_day_zone="Asia/Tokyo")
    assert list(map(str, changes)) == [
        "clicks: key was none, is page",
        "clicks: business day zone was UTC, is Asia/Tokyo",
    ]
    assert not any(change.is_compatible for change in changes)


@pytest.mark.parametrize("facts", [{"description": "A click"}, {"owner": "growth"}, {"version": "9"}])
def test_words_are_no_terms(facts: dict[str, str]) -> None:
    assert changed(**facts) == []


WIDER = changed(PAGE, replace(AMOUNT, nullable=True))
NARROWER = changed(PAGE, replace(AMOUNT, minimum=1.0))


@pytest.mark.parametrize(
    ("changes", "before", "after", "fault"),
    [
        ([], "1.2.0", "1.2.0", None),
        (WIDER, "1.2.0", "1.2.0", "version is still 1.2.0"),
        (WIDER, "1.2.0", "1.3.0", None),
        (NARROWER, "1.2.0", "1.2.0", "version is still 1.2.0"),
        (NARROWER, "1.2.0", "1.3.0", "version went from 1.2.0 to 1.3.0, which promises that nothing breaks"),
        (NARROWER, "1.2.0", "2.0.0", None),
        (NARROWER, "9.9", "10.0", None),
        (NARROWER, "2024-05", "2024-06", None),
        (NARROWER, "spring", "summer", None),
    ],
)
def test_an_incompatible_change_needs_a_major_version_and_any_other_a_new_one(
    changes: list[TermChange], before: str, after: str, fault: str | None
) -> None:
    assert needs_version(changes, before, after) == fault


BOUNDS = st.none() | st.integers(-3, 3).map(float)
COLUMNS = st.builds(
    Column,
    st.just("amount"),
    st.just("Float64"),
    st.booleans(),
    st.just("Paid"),
    minimum=BOUNDS,
    maximum=BOUNDS,
    allowed=st.lists(st.integers(-3, 3), max_size=4, unique=True).map(tuple),
)


def conforms(value: float | None, column: Column) -> bool:
    """The contract's meaning, written from its definition."""
    if value is None:
        return column.nullable
    return (
        (column.minimum is None or value >= column.minimum)
        and (column.maximum is None or value <= column.maximum)
        and (not column.allowed or value in column.allowed)
    )


@given(COLUMNS, COLUMNS, st.none() | st.integers(-4, 4))
def test_after_compatible_changes_every_value_that_conformed_conforms(
    before: Column, after: Column, value: int | None
) -> None:
    terms = [terms_of(replace(CLICKS, columns=(column,))) for column in (before, after)]
    if all(change.is_compatible for change in changes_between("clicks", *terms)) and conforms(value, before):
        assert conforms(value, after)
