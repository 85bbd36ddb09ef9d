"""`features doctor`: check this machine, one line per check, each with its remedy."""

from __future__ import annotations

from dataclasses import asdict

import click

from transformations.cli.options import json_option
from transformations.cli.output import print_json, say

_MARKS = {
    "ok": click.style("ok  ", fg="green"),
    "warn": click.style("warn", fg="yellow"),
    "fail": click.style("fail", fg="red"),
}


@click.command(
    epilog="""\b
Examples:
  features doctor
  features doctor --deep                 reads every file of every table and dataset, and compares its checksum
  features doctor --json | jq -r '.[] | select(.status == "fail") | .remedy'
"""
)
@click.option("--deep", is_flag=True, help="Read every file of every table and dataset too, and the whole registry.")
@json_option
@click.pass_context
def doctor(ctx: click.Context, deep: bool, as_json: bool) -> None:
    """Check Python, packages, Java, Redis, registry, data folder and settings.

    Changes nothing and starts nothing. Exits with 3 if something must be mended, with 4 if only a service is missing.
    """
    from transformations.insight.checkup import exit_code, run_checks

    checks = list(run_checks(deep=deep))
    if as_json:
        print_json([asdict(check) for check in checks])
    else:
        for check in checks:
            say(f"{_MARKS[check.status]}  {check.name:<10}  {check.detail}")
            if check.remedy:
                say(f"{'':18}→ {check.remedy}")
    ctx.exit(exit_code(checks))
