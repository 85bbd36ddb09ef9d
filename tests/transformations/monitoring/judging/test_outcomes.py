"""Outcomes equal what a hand-written query over the raw events and the batches' files says."""

import shutil
from datetime import date
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner

from tests.transformations.monitoring.conftest import LAST, watch
from tests.worlds import weekly
from transformations.cli.commands.look.outcomes import outcomes as command
from transformations.engine.base.errors import DataError
from transformations.engine.base.settings import get_settings
from transformations.monitoring.judging.outcomes import Group, outcomes
from transformations.monitoring.reading.served import files_of

BY_HAND = """
WITH predictions AS (
    SELECT keys.user_id AS user_id, request_timestamp AS at, score, decision, features.visits_28d.value AS visits_28d
    FROM read_parquet('{batches}', hive_partitioning = false)
    WHERE request_timestamp + INTERVAL 7 DAY <= TIMESTAMPTZ '2024-05-20 00:00+00'
),
outcomes AS (
    SELECT predictions.*, EXISTS (
        SELECT * FROM visits WHERE visits.user_id = predictions.user_id
            AND visits."at" >= predictions."at" AND visits."at" < predictions."at" + INTERVAL 7 DAY
    ) AS returns
    FROM predictions
)
SELECT
    strftime("at", '%Y-%m-%d') AS day,
    decision,
    count(*) AS rows,
    avg(returns::INT) AS label,
    avg((score - returns::INT) ** 2) AS brier,
    count(*) FILTER (WHERE decision AND returns) AS reached
FROM outcomes
GROUP BY GROUPING SETS (({day}), (decision), ())
"""
BUSINESS = [
    {
        "name": "reached", "query": "SELECT count(*) FROM predictions WHERE decision AND returns",
        "owner": weekly.OWNER, "unit": "users", "direction": "up", "horizon": "7 days",
    }
]  # fmt: skip


def by_hand() -> dict[tuple[str | None, bool | None], tuple[object, ...]]:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("visits", weekly.visits())
        batches = get_settings().predictions_dir / weekly.MODEL / "batch" / "*" / "*" / "*.parquet"
        found = connection.execute(BY_HAND.format(batches=batches, day="day")).fetchall()
    return {(row[0], row[1]): row[2:] for row in found}


def brier(group: Group) -> float | None:
    return next(figure.value for figure in group.figures if figure.metric == "brier")


def test_outcomes_equal_a_hand_written_query_as_a_whole_by_day_and_by_what_was_done(scored: Path) -> None:
    weekly.declare(scored / "repo", business=BUSINESS)
    found = outcomes(watch(scored))
    expected = by_hand()

    def facts(group: Group) -> tuple[object, ...]:
        (reached,) = group.business
        return group.rows, pytest.approx(group.label_mean), pytest.approx(brier(group)), reached.value

    (whole,) = found.of(1)
    assert facts(whole) == expected[None, None]
    assert {(each.value, None): facts(each) for each in found.of(1, "day")} == {
        key: value for key, value in expected.items() if key[0]
    }
    assert {each.value: facts(each) for each in found.of(1, "acted on")} == {
        "acted on": expected[None, True],
        "left alone": expected[None, False],
    }
    assert [(each.value, each.rows) for each in found.of(1, "arm")] == [("batch", whole.rows)]
    assert found.waiting == 2 * 78, "those of the last two Mondays, whose week has not passed by the sources' last day"
    assert found.lost == 0


def in_shadow(project: Path, day: date) -> int:
    """Record a Monday's batch once more, as what the version said in shadow; how many rows it has."""
    settings = get_settings()
    (file,) = files_of(weekly.MODEL, 1, day, settings)
    rows = pq.read_table(file, partitioning=None)
    place = rows.column_names.index("role")
    rows = rows.set_column(place, "role", pa.array(["shadow"] * len(rows), rows.schema.field(place).type))
    folder = settings.predictions_dir / weekly.MODEL / "served" / f"day={day}"
    folder.mkdir(parents=True)
    pq.write_table(rows, folder / "v1.parquet")
    return len(rows)


def test_what_was_said_in_shadow_is_an_arm_and_in_no_other_group(scored: Path) -> None:
    before = outcomes(watch(scored))
    rows = in_shadow(scored, date(2024, 4, 29))
    in_shadow(scored, LAST)
    found = outcomes(watch(scored))
    assert [each for each in found.groups if each.value != "shadow"] == list(before.groups)
    assert [(each.by, each.rows) for each in found.groups if each.value == "shadow"] == [("arm", rows)]
    assert (found.waiting, found.lost) == (before.waiting, before.lost)
    assert found.estimates == before.estimates

    shutil.rmtree(get_settings().predictions_dir / weekly.MODEL / "batch")
    alone = outcomes(watch(scored))
    assert [(each.by, each.value) for each in alone.groups] == [("arm", "shadow")]
    assert alone.whole(1).rows == rows
    shown = CliRunner().invoke(command, [weekly.MODEL])
    assert f"version 1, in shadow alone: {rows} rows" in shown.stdout, shown.output


def test_what_was_promised_stands_beside_with_its_interval(scored: Path) -> None:
    found = outcomes(watch(scored))
    (promise,) = found.promises
    assert promise.version == 1
    assert all(figure.interval is not None for figure in promise.figures)
    (whole,) = found.of(1)
    assert [figure.metric for figure in whole.figures] == [figure.metric for figure in promise.figures]
    shown = CliRunner().invoke(command, [weekly.MODEL])
    assert shown.exit_code == 0, shown.output
    assert "Promised" in shown.stdout
    assert f"version 1: {whole.rows:,} rows of {whole.entities} entities" in shown.stdout


def test_before_a_horizon_has_passed_nothing_is_said_of_a_version_without_calibration(
    scored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transformations.monitoring.judging.outcomes.calibration_of", lambda *_: None)
    with pytest.raises(DataError, match=r"of none of the 78 predictions .* outcome is known: labels are known until"):
        outcomes(watch(scored), first=date(2024, 5, 20))


def test_segments_are_columns_of_the_query_or_inputs(scored: Path) -> None:
    repository = scored / "repo"
    weekly.declare(repository, monitoring={"segments": ["visits_28d"]})
    found = outcomes(watch(scored))
    (whole,) = found.of(1)
    assert sum(each.rows for each in found.of(1, "visits_28d")) == whole.rows
    assert yaml.safe_load((repository / "models" / f"{weekly.MODEL}.yaml").read_text())["monitoring"]
