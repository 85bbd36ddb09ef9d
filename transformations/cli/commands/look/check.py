"""`features check`: the rules of documentation, tests, ownership and personal data, with file and line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from transformations.cli.options import json_option
from transformations.cli.output import print_json, remark, say
from transformations.engine.base.errors import ExitCode
from transformations.engine.base.settings import get_settings
from transformations.engine.base.words import plural
from transformations.insight.governance.places import Places
from transformations.insight.repository import read_contents

if TYPE_CHECKING:
    from validation.feature_rules import Problem


@click.command(
    epilog="""\b
Examples:
  features check
  features check --against main             also: contracts as they were on that branch
  features check --json | jq -r '.[] | .where'

\b
Exit code 3: a rule is broken.
"""
)
@click.option("--against", "revision", metavar="REVISION", help="Also compare the contracts with a revision in git.")
@json_option
@click.pass_context
def check(ctx: click.Context, revision: str | None, as_json: bool) -> None:
    """Check that everything offered is documented, tested, owned, used, and used as its personal data allows.

    Every source, entity, view, feature, service, dataset and model has a meaning and an owner that owners.yaml
    resolves; every feature a unit, an expected range and distribution, a telling name and a test; every view is in a
    service, every service names its consumer; tags are those that owners.yaml lists; no service, dataset or model
    carries personal data beyond its clearance; and what a dataset or model reads is there. A contract that says
    something else than when rows were stored has a new version, a major one where they would break.
    """
    from transformations.insight.governance import contract_versions, house_rules, unread

    settings = get_settings()
    held = ""
    problems = list(unread.unread_contracts(settings))
    if not problems:  # nothing else can be read without them
        contents = read_contents(settings)
        views = len(contents.feature_views) + len(contents.on_demand_feature_views)
        held = f"{plural(views, 'view')}, {plural(len(contents.feature_services), 'service')}"
        problems = house_rules.problems_of_repository(contents, settings)
        if revision is not None:
            since = contract_versions.problems_since(revision, settings)
            problems += [problem for problem in since if problem not in problems]
    places = Places(settings, house_rules.domain_files())
    found = [(problem, places.of(problem.place, problem.line)) for problem in problems]
    if as_json:
        print_json([_document_of_problem(problem, where) for problem, where in found])
    elif found:
        for problem, where in found:
            say(f"{where}: {problem}" if where else str(problem))
        remark(f"{plural(len(found), 'rule')} broken")
    else:
        say(f"every rule holds: {held}")
    ctx.exit(ExitCode.DATA if found else ExitCode.DONE)


def _document_of_problem(problem: Problem, where: str | None) -> dict[str, object]:
    return {"place": problem.place, "fault": problem.fault, "remedy": problem.remedy, "where": where}
