"""Expectations of Great Expectations by name, on a drop's rows, in a process that can be stopped."""

import json
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transformations.engine.base.errors import UsageError
from validation.quality import row_expectations, row_runner

from .events import rows

SUM = {"type": "expect_column_sum_to_be_between", "kwargs": {"max_value": 3}}


def custom(implementation, **facts):
    return {"type": "custom", "engine": "greatExpectations", "implementation": implementation, **facts}


def amounts(*values):
    return rows(*(("2020-01-30", "click", value) for value in values))


@pytest.fixture
def in_this_process(monkeypatch):
    """Expectations run here, where Great Expectations is imported already."""

    def run(_contract, folder, _settings):
        row_runner.run(folder)
        return ""

    monkeypatch.setattr(row_expectations, "run_apart", run)


BROKEN_SUM = (
    "events.yaml: rule 'sum' of column 'amount': observed 3.5 of drop drop-1.parquet; "
    "expect_column_sum_to_be_between allows max_value 3. Fix the source, or change the rule in a new contract "
    "version.\nNothing of drop-1.parquet was written."
)


def test_a_drop_that_just_breaks_an_expectation_is_refused(source, in_this_process):
    source.rules(amount=[custom(SUM, name="sum")])
    assert source.broken(amounts(1.0, 2.5)) == BROKEN_SUM


@pytest.mark.proof
def test_in_a_process_of_its_own_it_is_refused_as_well(source):
    source.rules(amount=[custom(SUM, name="sum")])
    assert source.broken(amounts(1.0, 2.5)) == BROKEN_SUM


def test_a_drop_that_just_keeps_an_expectation_is_taken(source, in_this_process):
    source.rules(amount=[custom(SUM, name="sum")])
    assert source.broken(amounts(1.0, 2.0)) == ""


def test_the_rows_have_the_contract_s_types_nulls_included_and_every_rule_its_result(tmp_path):
    pq.write_table(pa.table({"id": pa.array([2**53 + 1, None]), "ok": [True, None]}), tmp_path / row_runner.ROWS)
    expectations = [
        {
            "type": kind,
            "kwargs": {"column": column, **arguments},
            "meta": {"rule": column + kind},
            "severity": "critical",
        }
        for kind, column, arguments in (
            ("expect_column_values_to_be_in_set", "id", {"value_set": [2**53 + 1]}),
            ("expect_column_values_to_be_in_set", "ok", {"value_set": [False]}),
        )
    ]
    job = {"spark": False, "suite": {"name": "s", "rows": 2, "expectations": expectations}}
    (tmp_path / row_runner.JOB).write_text(json.dumps(job))

    row_runner.run(tmp_path)

    integer, boolean = json.loads((tmp_path / row_runner.RESULT).read_text())
    assert (integer["success"], boolean["success"]) == (True, False)
    assert boolean["result"]["unexpected_count"] == 1


def test_above_a_number_of_rows_spark_runs_the_expectations(tmp_path, spark_settings):
    pq.write_table(pa.table({"id": [1, 2, 5]}), tmp_path / row_runner.ROWS)
    between = {"type": "expect_column_values_to_be_between", "kwargs": {"column": "id", "max_value": 4}}
    suite = {"name": "s", "rows": 3, "expectations": [between | {"meta": {"rule": "r"}, "severity": "critical"}]}
    (tmp_path / row_runner.JOB).write_text(json.dumps({"spark": True, "suite": suite}))

    row_runner.run(tmp_path)

    (result,) = json.loads((tmp_path / row_runner.RESULT).read_text())
    assert (result["success"], result["result"]["partial_unexpected_list"]) == (False, [5])


@pytest.mark.parametrize(
    ("implementation", "expected"),
    [
        ({"type": "expect_column_sum_to_be_betwen"}, "did you mean 'expect_column_sum_to_be_between'?"),
        (
            {"type": "expect_column_sum_to_be_between", "kwargs": {"maxValue": 3}},
            "named as Great Expectations names them",
        ),
    ],
)
def test_an_expectation_that_cannot_be_run_is_refused_with_the_reason(
    source, in_this_process, implementation, expected
):
    source.rules(amount=[custom(implementation)])
    with pytest.raises(UsageError) as error:
        source.ingest(amounts(1.0))
    assert expected in error.value.message


@pytest.mark.parametrize(
    ("kind", "arguments", "expected"),
    [
        (  # its result holds NumPy's booleans
            "expect_column_quantile_values_to_be_between",
            {"quantile_ranges": {"quantiles": [0.5], "value_ranges": [[3, 4]]}},
            "observed {'quantiles': [0.5], 'values': [2.0]} of drop",
        ),
        (  # its result counts values, and no rows
            "expect_column_distinct_values_to_be_in_set",
            {"value_set": [1, 3]},
            "1 unexpected value, such as 2.0 of drop",
        ),
    ],
)
def test_a_result_of_unusual_form_is_told_like_any_other(source, in_this_process, kind, arguments, expected):
    source.rules(amount=[custom({"type": kind, "kwargs": arguments})])
    assert expected in source.broken(amounts(1.0, 2.0, 3.0))


WORDS = ("expect_column_mean_to_be_between", {"max_value": 3}, "of kind (String): TypeError")
NUMBER_TO_TEXT = ("expect_column_values_to_be_between", {"max_value": 3}, "of kind (String): TypeError")


@pytest.mark.parametrize(("kind", "arguments", "expected"), [WORDS, NUMBER_TO_TEXT])
def test_an_expectation_on_a_wrong_type_names_the_column_s_type_and_none_of_its_values(
    source, in_this_process, kind, arguments, expected
):
    source.rules(kind=[custom({"type": kind, "kwargs": arguments}, name="q")])
    with pytest.raises(UsageError) as error:
        source.ingest(rows(*(("2020-01-30", f"secret-{number}", 1.0) for number in range(50))))
    assert f"rule 'q': {kind} cannot be computed {expected} in Great Expectations. Give it" in error.value.message
    assert "secret" not in error.value.message


IN_SET = {"type": "expect_column_values_to_be_in_set", "kwargs": {"value_set": ["click"]}}
LONG = "x" * 500 + "\u202e"


@pytest.mark.parametrize(
    ("pii", "shown"), [(None, f"such as {'x' * 59}…"), ("personal", "such as (personal)"), ("pseudonymous", "x" * 59)]
)
def test_values_are_shown_short_and_none_of_a_column_about_a_person(source, in_this_process, pii, shown):
    source.rules(kind=[custom(IN_SET, name="q")])
    source.mark("kind", pii)
    said = source.broken(rows(("2020-01-30", LONG, 1.0)))
    assert shown in said
    assert ("xxx" in said) == (pii != "personal")
    assert "x" * 60 not in said


def test_an_expectation_on_which_great_expectations_itself_fails_is_named(source, in_this_process):
    kind = {"type": "expect_column_kl_divergence_to_be_less_than", "kwargs": {"threshold": 0.1}}  # without a partition
    source.rules(kind=[custom(kind)])
    with pytest.raises(UsageError) as error:
        source.ingest(amounts(1.0))
    assert error.value.message == (
        "events.yaml: Great Expectations fails with KeyError on rule "
        "'kind_expect_column_kl_divergence_to_be_less_than': expect_column_kl_divergence_to_be_less_than. Give each "
        "expectation the arguments that it needs, or leave it out."
    )


def test_expectations_that_take_too_long_are_stopped(source):
    source.settings = source.settings.model_copy(update={"quality_seconds": 0.5})
    source.rules(kind=[custom({"type": "expect_column_values_to_match_regex", "kwargs": {"regex": "^(a+)+$"}})])
    began = time.monotonic()
    with pytest.raises(UsageError, match=r"took longer than 0\.5 s .* were stopped.*FEATURES_QUALITY_SECONDS"):
        source.ingest(rows(("2020-01-30", "a" * 40 + "b")))
    assert time.monotonic() - began < 30
