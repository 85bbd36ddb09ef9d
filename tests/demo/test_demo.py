"""The demo runs public commands alone, survives being killed, and ends with online equal to training."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from redis import Redis
from rich.console import Console

from transformations.cli.demo.lookup import all_households
from transformations.cli.demo.models import MODELS, release_models
from transformations.cli.demo.training import EVERY, LABEL, label, sample_checkouts
from transformations.cli.steps import Finished, Step, StepError, alone, run, skipped
from transformations.contracts import read_contract
from transformations.datasets.leakage import check_leakage
from transformations.engine.base.errors import DataError
from transformations.engine.base.settings import Settings, get_settings
from transformations.engine.base.words import typed_path
from transformations.engine.raw.files import source_schema
from transformations.engine.raw.zone import Origin, RawTable
from transformations.insight.repository import open_store
from transformations.stores.history.session_sql import Resources
from transformations.stores.training.jobs import PointInTimeJob
from transformations.stores.training.spine import spine_of

from .conftest import FEATURES, Demo, call, variables

# --- the training frame -----------------------------------------------------------------------------------------------


def deliver(settings: Settings, source: str, rows: list[dict[str, Any]], through: str) -> None:
    contract = read_contract(source)
    schema = source_schema(contract)
    complete = [{field.name: row.get(field.name, _filler(field.type)) for field in schema} for row in rows]
    origin = Origin(file_name=f"{source}.parquet", content_hash=str(rows), ingested_at=datetime(2018, 1, 2, tzinfo=UTC))
    RawTable(contract, settings.raw_dir).append(
        pa.Table.from_pylist(complete, schema), origin, date.fromisoformat(through)
    )


def _filler(kind: pa.DataType) -> object:
    return 0.0 if pa.types.is_floating(kind) else 1


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_a_checkout_is_labelled_by_redemptions_of_the_28_days_after_its_own(settings: Settings) -> None:
    end_of_2_may = utc("2017-05-03 03:59:59.999999")  # in New York, four hours behind UTC
    deliver(settings, "coupon_redemptions", [{"household_id": 1, "redemption_date": end_of_2_may}], "2017-12-31")
    checkouts = pd.DataFrame(
        {
            "household_id": [1, 1, 1, 1, 2],
            "event_timestamp": [
                utc("2017-04-04 12:00"),  # 28 days before
                utc("2017-04-03 12:00"),  # 29 days before
                utc("2017-05-02 03:00"),  # the evening of 1 May in New York
                utc("2017-05-02 12:00"),  # the day itself: before or after, nobody knows
                utc("2017-05-01 12:00"),  # another household
            ],
            "basket_value": 1.0,
        }
    )

    labelled, through = label(checkouts, settings)

    assert labelled[LABEL].tolist() == [True, False, True, False, False]
    assert through == date(2017, 12, 31)


def test_checkouts_whose_28_days_pass_the_end_of_the_data_are_dropped(settings: Settings) -> None:
    redemption = {"household_id": 1, "redemption_date": utc("2017-05-03 03:59:59.999999")}
    deliver(settings, "coupon_redemptions", [redemption], "2017-12-31")
    moments = [utc("2017-12-03 12:00"), utc("2017-12-04 12:00")]
    checkouts = pd.DataFrame({"household_id": [1, 1], "event_timestamp": moments, "basket_value": 1.0})

    labelled, _ = label(checkouts, settings)

    assert labelled["event_timestamp"].tolist() == moments[:1]


def test_a_checkout_is_a_basket_with_its_value_and_the_sample_is_always_the_same(settings: Settings) -> None:
    baskets = [(basket, line) for basket in range(1, 2 * EVERY + 1) for line in (1, 2)]
    rows = [
        {
            "household_id": basket % 3,
            "basket_id": basket,
            "product_id": line,
            "sales_value": 0.10 * line,
            "transaction_timestamp": utc("2017-05-01 12:00") + pd.Timedelta(hours=basket),
        }
        for basket, line in baskets
    ]
    deliver(settings, "transactions", rows, "2017-12-31")

    sample = sample_checkouts(settings)

    assert sample["event_timestamp"].tolist() == [utc("2017-05-02 08:00"), utc("2017-05-01 22:00")]
    assert sample["basket_value"].tolist() == [0.3, 0.3]
    assert sample.equals(sample_checkouts(settings))
    assert all_households(settings)["household_id"].to_pylist() == [0, 1, 2]


# --- the steps --------------------------------------------------------------------------------------------------------


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[tuple[Console, Callable[[], str]]]:
    """A console, and what was printed on it."""
    with (tmp_path / "printed").open("w") as file:
        yield Console(file=file, width=100), lambda: (file.flush(), (tmp_path / "printed").read_text())[1]


def python(code: str, *, intended: tuple[int, ...] = (), **environment: str) -> Step:
    return Step(title="A step", program="python", arguments=("-c", code), environment=environment, intended=intended)


def test_a_step_is_printed_as_one_could_type_it_and_its_lines_are_shown(terminal: Any) -> None:
    console, printed = terminal

    finished = run(python("import os; print(os.environ['FEATURES_CLOCK'])", FEATURES_CLOCK="2017-06-01"), console)

    assert finished.lines == ("2017-06-01",)
    assert "A step\n$ FEATURES_CLOCK=2017-06-01 " in printed()
    assert "python -c 'import os; " in printed()
    assert "\n  2017-06-01\n" in printed()


def test_of_a_line_that_is_drawn_again_and_again_only_the_last_form_is_kept(terminal: Any) -> None:
    console, _ = terminal

    finished = run(python("print('10 %\\r50 %\\r100 %', flush=True); print('\\x1b[1mbold\\x1b[0m')"), console)

    assert finished.lines == ("100 %", "\x1b[1mbold\x1b[0m")


def test_a_step_that_fails_ends_the_run_with_its_exit_code(terminal: Any) -> None:
    console, printed = terminal

    with pytest.raises(StepError, match="ended with code 3") as raised:
        run(python("import sys; print('why'); sys.exit(3)"), console)

    assert raised.value.exit_code == 3
    assert "\n  why\n" in printed()


def test_a_code_that_is_a_result_is_told_and_ends_nothing(terminal: Any) -> None:
    console, printed = terminal

    assert run(python("import sys; sys.exit(3)", intended=(3,)), console).lines == ()

    assert " s, code 3\n" in printed()


def test_a_skipped_step_tells_its_command_and_the_reason(terminal: Any) -> None:
    console, printed = terminal

    finished = skipped(python("print(1)"), "it is there already", console)

    assert finished.is_skipped
    assert "python -c 'print(1)'\n  nothing to do: it is there already\n" in printed()


def test_a_run_waits_for_the_last_command_of_one_that_was_killed(tmp_path: Path, terminal: Any) -> None:
    console, _ = terminal
    with alone(tmp_path / "lock", console) as lock:
        orphan = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[lock])
    pauses: list[float] = []

    def sleep_until_it_ends(seconds: float) -> None:
        pauses.append(seconds)
        orphan.communicate(b"\n")

    with alone(tmp_path / "lock", console, sleep=sleep_until_it_ends):
        assert orphan.poll() is not None
    assert len(pauses) == 1


def test_paths_are_typed_from_where_one_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert typed_path(tmp_path / "data" / "x") == "data/x"
    assert typed_path(Path("/elsewhere/x")) == "/elsewhere/x"


# --- the whole, on a few households -----------------------------------------------------------------------------------


def test_interrupted_and_begun_again_the_demo_ends_with_online_equal_to_training(finished: Demo) -> None:
    printed = finished.printed
    assert finished.commands == [
        "features build",
        "feast -c feature_repo apply",
        "feast -c feature_repo materialize 1970-01-01T00:00:00 2018-01-01T07:00:00",
        "features demo training-frame",
        "features demo lookup",
        "features model release household_lapse_2017",
        "features model release coupon_response",
    ]
    assert "ingest transactions" in printed
    assert "nothing to do: transactions.parquet is there already" in printed
    assert "ui -h 127.0.0.1" in printed


def test_models_of_a_few_households_are_stopped_by_their_gates_which_ends_no_demo(finished: Demo) -> None:
    for model in MODELS:
        assert f"{model} version 1 was stopped by its gates, which is what they are for" in finished.printed


def test_a_model_that_its_data_stops_before_its_gates_are_asked_ends_the_demo(
    settings: Settings, terminal: Any
) -> None:
    console, _ = terminal
    settings.data.mkdir(exist_ok=True)
    with pytest.raises(StepError, match="release household_lapse_2017` ended with code 3"):
        list(release_models(settings, console, lambda step: Finished(step, 0.1, ())))


def test_a_second_demo_finds_nothing_to_do(demo: Demo) -> None:
    demo.run()
    assert demo.commands == ["features demo lookup"]  # the proof of the rest
    assert "nothing to do: everything was there already" in demo.printed


def test_a_row_of_the_future_is_found_by_the_leakage_check(demo: Demo) -> None:
    """Features as they were a week later, given as those of the moment itself."""
    del demo
    store = open_store(get_settings())
    moments = [utc("2017-06-05 10:00"), utc("2017-09-04 10:00")]
    rows = [{"household_id": household, "event_timestamp": moment} for household in (1, 7) for moment in moments]
    spine = pa.Table.from_pylist(rows)
    later = spine.set_column(1, "event_timestamp", pc.add(spine["event_timestamp"], pa.scalar(timedelta(days=7))))

    def check(asked: pa.Table) -> None:
        service = store.get_feature_service("household_lapse_v1")
        job = cast("PointInTimeJob", store.get_historical_features(entity_df=asked, features=service))
        dataset = job.to_arrow()
        place = dataset.column_names.index("event_timestamp")
        dataset = dataset.set_column(place, "event_timestamp", spine["event_timestamp"])
        columns = {reference: column for column, reference in job.plan.columns.items()}
        check_leakage(
            spine_of(spine), dataset, job.plan.stored, columns, as_served=False, resources=Resources(threads=1)
        )

    check(spine)
    with pytest.raises(DataError, match=r"household_purchases: feature '\w+': row 0 .* which is in that row's future"):
        check(later)


def test_a_lookup_shows_that_training_has_the_same(demo: Demo) -> None:
    with variables({"FEATURES_CLOCK": "2018-01-01T07:00:00Z"}):
        code, printed, errors = call("features", ["demo", "lookup"])
    assert code == 0, errors
    assert re.search(r"^household_now:basket_vs_usual +9 +9$", printed, re.MULTILINE)
    assert "225 values at 2018-01-01 07:00:00 UTC: all are equal" in printed


def test_an_online_store_that_lost_its_rows_is_found_out_and_filled_again(demo: Demo) -> None:
    forget_rows()
    with variables({"FEATURES_CLOCK": "2018-01-01T07:00:00Z"}):
        code, _, errors = call("features", ["demo", "lookup"])
    assert code == 3
    assert ": never materialized into this Redis. Run what `features status` names" in errors

    demo.run()
    assert [command.split()[-3] for command in demo.commands] == ["materialize", "features"]


@pytest.mark.proof
def test_so_it_is_by_processes_as_from_a_shell(demo: Demo) -> None:
    forget_rows()
    again = subprocess.run(
        [str(FEATURES), "demo"], env=demo.environment, check=False, capture_output=True, text=True, timeout=300
    )
    assert again.returncode == 0, again.stdout + again.stderr
    assert "2 of 14 commands ran" in again.stdout


def forget_rows() -> None:
    """As a Redis that failed over to an empty one."""
    _, url, _ = call("features", ["redis", "url"])
    with Redis.from_url(url.strip()) as client:
        client.flushall()


def test_a_lookup_needs_a_moment_since_the_data_lies_in_the_past(demo: Demo) -> None:
    code, _, errors = call("features", ["demo", "lookup"])

    assert code == 2
    assert "FEATURES_CLOCK=2018-01-01T07:00:00Z" in errors
