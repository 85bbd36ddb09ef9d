"""The slow proofs over the demo's data; see tests/proofs/proofs.py."""

from tests.proofs.proofs import Proof

PROOFS = (
    Proof(
        name="rollout-proof",
        claim="A good version is seldom stopped, a failing one within 100 rows",
        seconds=60,
        size={"ARGS": "--simulations 40 --whole 3"},
        figure=r"fails on 5 % of rows: (.*)",
    ),
    Proof(
        name="replay-proof",
        claim="The demo's replay: scores are those of batch, outcomes those counted by hand, both faults are named",
        seconds=110,
        figure=r"([\d,]+ scores, equal to batch .*)",
        made=("models", "datasets"),
    ),
    Proof(
        name="drift-proof",
        claim="Monitoring finds planted drift, and seldom alerts in vain",
        seconds=70,
        size={"ARGS": "--trials 30"},
        figure=r"of \w+: (.*, since [-\d]+)",
        made=("models", "datasets"),
    ),
    Proof(
        name="day-proof",
        claim="A day goes from delivered files to monitored predictions, by run-day and Dagster, both killed, and once",
        seconds=250,
        size={"ARGS": "--by both --kills 1"},
        figure=r"day proof: (.*)",
    ),
)
