"""Versions of a contract: what may change under which version, and the law that makes a change compatible."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transformations.contracts.model import Column, Contract
from transformations.engine.raw.contract_terms import TermChange, changes_between, needs_version, terms_of
from transformations.engine.raw.zone import Origin, RawTable

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


# The law: after compatible changes, every row that conformed conforms.

BOUNDS = st.none() | st.integers(-3, 3)
NUMBERS = range(-4, 5)  # one beyond all bounds on either side
VALUES = {"Int64": list(NUMBERS), "Float64": list(map(float, NUMBERS)), "String": list("abc"), "Bool": [False, True]}
DTYPES = st.sampled_from(sorted(VALUES))
FATES = ("one term", "one term", "one term", "same", "new", "all terms", "gone", "of another dtype")
Columns = tuple[Column, ...]


def columns(name: str, dtype: str) -> st.SearchStrategy[Column]:
    bounds = BOUNDS if dtype in ("Int64", "Float64") else st.none()
    values = st.lists(st.sampled_from(VALUES[dtype]), max_size=3, unique=True).map(tuple)
    return st.builds(
        Column,
        st.just(name),
        st.just(dtype),
        st.booleans(),
        st.just("A column"),
        minimum=bounds,
        maximum=bounds,
        allowed=st.just(()) if dtype == "Bool" else values,
    )


@st.composite
def versions(draw: st.DrawFn) -> tuple[Columns, Columns]:
    """Two versions of a contract's columns: each changes in one term or in all, stays, goes, or is new."""
    before, after = [], []
    for name in ("a", "b"):
        dtype, fate = draw(DTYPES), draw(st.sampled_from(FATES))
        old, new = draw(columns(name, dtype)), draw(columns(name, draw(DTYPES) if "another" in fate else dtype))
        if fate == "one term":
            term = draw(st.sampled_from(["nullable", "minimum", "maximum", "allowed"]))
            new = replace(old, **{term: getattr(new, term)})
        before += [old] if fate != "new" else []
        after += {"same": [old], "gone": []}.get(fate, [new])
    return tuple(before), tuple(after)


def conforms(row: dict[str, object], contract_columns: Columns) -> bool:
    """The contract's meaning, written from its definition; a column that the row lacks is null."""
    kinds = {"Int64": int, "Float64": float, "String": str, "Bool": bool}
    for column in contract_columns:
        value = row.get(column.name)
        if value is None:
            if not column.nullable:
                return False
            continue
        if type(value) is not kinds[column.dtype]:
            return False
        if column.minimum is not None and value < column.minimum:
            return False
        if column.maximum is not None and value > column.maximum:
            return False
        if column.allowed and value not in column.allowed:
            return False
    return True


def rows_of(contract_columns: Columns) -> Iterator[dict[str, object]]:
    """Every row of these columns."""
    names = [column.name for column in contract_columns]
    for values in product(*([None, *VALUES[column.dtype]] for column in contract_columns)):
        yield dict(zip(names, values, strict=True))


def are_compatible(before: Columns, after: Columns) -> bool:
    terms = (terms_of(replace(CLICKS, columns=each)) for each in (before, after))
    return all(change.is_compatible for change in changes_between("clicks", *terms))


@given(versions())
@settings(max_examples=200)
def test_after_compatible_changes_every_row_that_conformed_conforms(both: tuple[Columns, Columns]) -> None:
    before, after = both
    if are_compatible(before, after):
        assert all(conforms(row, after) for row in rows_of(before) if conforms(row, before))


@given(versions())
def test_every_reader_still_finds_its_columns_after_compatible_changes(both: tuple[Columns, Columns]) -> None:
    if are_compatible(*both):
        before, after = ({column.name: column.dtype for column in each} for each in both)
        assert before.items() <= after.items()


def test_a_column_that_comes_back_is_incompatible_where_rows_still_have_its_old_values(tmp_path: Path) -> None:
    """What was stored before it was removed was checked under terms that nobody remembers."""
    without = replace(CLICKS, version="2.0.0", columns=(PAGE,))
    back = replace(CLICKS, version="2.1.0", columns=(PAGE, replace(AMOUNT, nullable=True, minimum=100.0)))
    for number, contract in enumerate((CLICKS, without), start=1):
        rows = pa.table({"page": ["home"], "amount": [5.0]}).select(contract.column_names)
        came = datetime(2020, 1, number, tzinfo=UTC)
        origin = Origin(file_name=f"drop {number}", content_hash=f"hash {number}", ingested_at=came)
        RawTable(contract, tmp_path).append(rows, origin, valid_from=came)
    (change,), fault = RawTable(back, tmp_path).contract_changes()
    assert str(change) == "clicks.amount is back, with the values that rows had before it was removed"
    assert not change.is_compatible
    assert fault == "version went from 2.0.0 to 2.1.0, which promises that nothing breaks"
    new = replace(back, columns=(PAGE, Column("tip", "Float64", True, "Tip")))
    (change,), fault = RawTable(new, tmp_path).contract_changes()
    assert (str(change), change.is_compatible, fault) == ("clicks.tip is new", True, None)
