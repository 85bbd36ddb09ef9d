"""A contract compiles to checks: plain data that says what is asserted."""

from transformations.contracts import Reference
from validation.delivery.check_specs import CheckSpec, compile_checks

from .small_contracts import BERLIN, column, contract


def test_a_contract_compiles_to_plain_data():
    rules = contract(
        column("Int64", "id", nullable=False),
        column("Float64", "price", minimum=0, maximum=9),
        column("String", "kind", allowed=("a", "b")),
        column("UnixTimestamp", "at", nullable=False),
        key=("id",),
        event_time="at",
        timestamp_zone=BERLIN,
        references=(Reference(("id",), "others", ("id",), 3),),
    )
    names = ("id", "price", "kind", "at")
    assert compile_checks(rules) == (
        CheckSpec("missing column", names),
        CheckSpec("unknown column", names),
        CheckSpec("dtype", ("id",), dtype="Int64"),
        CheckSpec("exact", ("id",), dtype="Int64"),
        CheckSpec("nulls", ("id",)),
        CheckSpec("dtype", ("price",), dtype="Float64"),
        CheckSpec("exact", ("price",), dtype="Float64"),
        CheckSpec("finite", ("price",)),
        CheckSpec("range", ("price",), minimum=0, maximum=9),
        CheckSpec("dtype", ("kind",), dtype="String"),
        CheckSpec("exact", ("kind",), dtype="String"),
        CheckSpec("allowed values", ("kind",), values=("a", "b")),
        CheckSpec("dtype", ("at",), dtype="UnixTimestamp"),
        CheckSpec("exact", ("at",), dtype="UnixTimestamp"),
        CheckSpec("existing local time", ("at",)),
        CheckSpec("nulls", ("at",)),
        CheckSpec("finite", ("at",)),
        CheckSpec("event time", ("at",), dtype="UnixTimestamp", minimum=1900, maximum=2199),
        CheckSpec("unique key", ("id",)),
        CheckSpec("reference", ("id",), reference=rules.references[0], allowed=3),
    )


def test_a_file_of_keys_is_checked_for_its_keys_alone():
    rules = contract(column("Int64", "id", nullable=False), column("Float64", "price"), key=("id",))
    assert {name for spec in compile_checks(rules, keys_only=True) for name in spec.columns} == {"id"}
