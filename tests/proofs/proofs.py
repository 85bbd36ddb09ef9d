"""The slow proofs of this project: what each claims, its target, and a size by which all fit in 25 minutes.

Without the size, `make NAME` runs a proof at its full one. What a size leaves out, the full one has.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

MOST_SECONDS = 25 * 60
PYTEST = r"(\d+ (?:passed|xfailed)\b.*?) in \d"


@dataclass(frozen=True, kw_only=True)
class Proof:
    """One proof. seconds: its share of the 25 minutes at this size, on an idle machine.

    figure: what of its output to show, each match. tools: programs of the machine that it needs. installs: what the
    Makefile installs for it alone, whose seconds are not its own. made: what must be in the data folder.
    """

    name: str
    claim: str
    seconds: int
    size: Mapping[str, str] = field(default_factory=dict)
    figure: str = PYTEST
    tools: tuple[str, ...] = ()
    installs: tuple[str, ...] = ()
    made: tuple[str, ...] = ()


_PLATFORM = (
    Proof(
        name="checked-test",
        claim="All holds with Feast's own checks of types, as in a notebook",
        seconds=60,
        size={"ARGS": "tests/conformance tests/transformations/stores/lookups tests/transformations/stores/training"},
    ),
    Proof(
        name="parity-proof",
        claim="Online equals training at every moment of many histories",
        seconds=130,
        size={"ARGS": "--months 2", "EXAMPLES": "5"},
        figure=r"(\d+ passed|[\d,]+ values, \d+ differ)",
    ),
    Proof(
        name="kill-test",
        claim="Commands killed at any moment lose nothing and show nothing half-written",
        seconds=100,
        size={"KILLS": "1", "BUILDS": "1"},
        figure=r"(\d+ of \d+ kills certainly interrupted the work)",
    ),
    Proof(
        name="disk-proof",
        claim="A damaged file is named by every command that meets it",
        seconds=80,
        size={"DISKS": "data/raw/* × deleted|feature_repo/feature_store.yaml*"},
    ),
    Proof(
        name="slow-proof",
        claim="Several processes at once, kills and whole journeys end as they should",
        seconds=30,
        size={"ARGS": "tests/transformations/datasets tests/transformations/engine/raw"},
    ),
    Proof(
        name="knowledge-proof",
        claim="What was known when does not depend on the order and number of runs",
        seconds=50,
        size={"EXAMPLES": "3"},
    ),
    Proof(
        name="coverage-proof",
        claim="95 % intervals of metrics hold the truth in 92 to 98 % of simulations",
        seconds=30,
        size={"ARGS": "--simulations 500 --draws 300"},
        figure=r"(\w+ +metric +[\d.]+%)",
    ),
    Proof(
        name="oracle-proof",
        claim="Effect sizes of drift are those that Evidently gives",
        seconds=10,
        size={"ARGS": "--days 10"},
        figure=r"(\d+ effects compared .*)",
        installs=(".venv/evidently",),
    ),
    Proof(
        name="api-proof",
        claim="The model server does what its OpenAPI says, and drops no request while versions are exchanged",
        seconds=50,
        size={"EXAMPLES": "5", "REQUESTS": "2000"},
        figure=r"(\d+ passed|[\d,]+ requests, \d+ dropped.*)",
    ),
    Proof(
        name="stock-traps",
        claim="Stock Feast still falls into the traps that ours avoids",
        seconds=60,
    ),
    Proof(
        name="cluster-test",
        claim="A build on a Spark cluster gives the bits of a local one",
        seconds=70,
        figure=r"(The cluster's tables and the local ones are the same.*)",
    ),
    Proof(
        name="bucket-test",
        claim="With the data in object storage, commits are atomic and copies verified",
        seconds=25,
        size={"IN_BUCKET": "tests/transformations/engine/base/files"},
    ),
    Proof(
        name="azure-test",
        claim="So they are on Azure's storage, by Microsoft's own emulator",
        seconds=30,
        tools=("npm",),
        installs=(".venv/azurite",),
    ),
    Proof(
        name="postgres-test",
        claim="A project and its models go on with the registry on PostgreSQL",
        seconds=50,
        tools=("pg_ctlcluster",),
        installs=(".venv/postgres",),
    ),
    Proof(
        name="reload-proof",
        claim="Servers answer rightly while all that they read changes",
        seconds=60,
        figure=r"reload: (.*)",
    ),
    Proof(
        name="deploy-proof",
        claim="What a Dockerfile installs starts its command",
        seconds=60,
        size={"ARGS": "serve"},
        figure=r"(\w+: [\d,]+ MB .*)",
    ),
)


def _of_domain() -> tuple[Proof, ...]:
    """The proofs over the data of a domain, where there is a list of them."""
    if not (Path(__file__).parents[1] / "demo" / "slow_proofs.py").is_file():
        return ()
    found: tuple[Proof, ...] = import_module("tests.demo.slow_proofs").PROOFS
    return found


PROOFS = (*_PLATFORM, *_of_domain())
