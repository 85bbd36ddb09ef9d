"""The checks of CSV cells: read as what the contract says, and named by row where they are something else."""

import pyarrow as pa

from transformations.contracts.model import ColumnFormat

from .small_contracts import broken, column, contract, values

TYPED = contract(
    column("Int64", "i"),
    column("Float64", "f"),
    column("String", "s"),
    column("Bool", "b"),
    column("Date", "d"),
    column("UnixTimestamp", "t"),
)


def test_csv_cells_are_read_as_what_the_contract_says(check):
    text = (
        "i,f,s,b,d,t\n"
        " 12,1e3, x ,TRUE,2020-01-31,2020-01-31 12:00:00\n"
        ",,,,,\n"
        "-1,nan,12,false,2020-01-31 00:00:00,2020-01-31T12:00:00.5Z\n"
    )
    report = check(TYPED, text)
    assert (report.rows, report.violations) == (3, ())


def test_csv_cells_that_are_something_else_are_named_by_row(check):
    report = check(
        TYPED, "i,f,s,b,d,t\n1.5,x,s,yes,2020-02-30,noon\n1e3,1,s,1,2020-01-31 12:00,2020-01-31 00:00:00.1234567\n"
    )
    assert broken(report) == ["exact"] * 5
    texts = [violation.message for violation in report.violations]
    assert "'i' has 2 values that cannot be an integer of 64 bits in 2 rows" in texts[0]
    assert "'f' has 1 value that cannot be a number that a Float64 holds in 2 rows" in texts[1]
    assert "'b' has 2 values that cannot be true or false in 2 rows" in texts[2]
    assert "'d' has 2 values that cannot be a date as in 2020-01-31 in 2 rows" in texts[3]
    assert "'t' has 2 values that cannot be a time of whole microseconds as in 2020-01-31 12:00:00" in texts[4]
    assert "first at rows 1, 2 of drop drop.csv (1.5, 1e3)" in texts[0]


def test_csv_cells_have_the_declared_forms_alone(check):
    rules = contract(
        column("Float64", "f", format=ColumnFormat(decimal=",", thousands=".")),
        column("Date", "d", format=ColumnFormat(strptime=("%d/%m/%Y",))),
        column("UnixTimestamp", "t", format=ColumnFormat(strptime=("%d/%m/%Y %I:%M %p", "%m/%d/%Y %I:%M %p"))),
    )
    assert check(rules, 'f,d,t\n"1.234,5",05/01/2024,13/01/2024 01:30 PM\n').violations == ()
    report = check(rules, 'f,d,t\n1.5,2024-01-05,05/01/2024 01:30 PM\n"1,5",13/12/2024,13/12/2024 13:30\n')
    texts = [violation.message for violation in report.violations]
    assert "'f' has 1 value that cannot be a number that a Float64 holds in 2 rows" in texts[0]
    assert "'d' has 1 value that cannot be a date of the form '%d/%m/%Y' in 2 rows" in texts[1]
    assert (
        "'t' has 2 values that cannot be a time of the form '%d/%m/%Y %I:%M %p' or '%m/%d/%Y %I:%M %p', "
        "or that these forms read differently, in 2 rows"
    ) in texts[2]


def test_an_integer_in_a_csv_is_refused_as_a_float_just_as_in_parquet(check):
    rules = contract(column("Float64"))
    (from_csv,) = check(rules, "x\n1\n9007199254740993\n").violations
    (from_parquet,) = check(rules, values(pa.int64(), 1, 9007199254740993)).violations
    for violation in (from_csv, from_parquet):
        assert violation.spec.rule == "exact"
        assert "(9007199254740993)" in violation.message
    assert check(rules, values(pa.int64(), 2**53 + 2)).violations == check(rules, f"x\n{2**53 + 2}\n").violations == ()


def test_a_text_that_is_no_time_says_how_to_declare_its_form(check):
    (violation,) = check(contract(column("UnixTimestamp")), "x\n2024-05-01 01:30:00 PM\n").violations
    assert violation.message.endswith("or declare the form of its times with strptime in a new contract version.")


def test_all_violations_of_a_drop_are_told_together(check):
    rules = contract(column("Int64", "a", nullable=False), column("Float64", "b", minimum=0), column("String", "c"))
    report = check(rules, pa.table({"a": [1, None], "b": [-1.0, float("inf")], "d": [1, 2]}))
    assert broken(report) == ["missing column", "unknown column", "nulls", "finite", "range"]
