"""`features config`: every setting with its value, origin and meaning."""

import os
from dataclasses import asdict

import click

from transformations.cli.options import json_option
from transformations.cli.output import print_json, print_table, remark, say


@click.command(
    epilog="""\b
Examples:
  features config
  FEATURES_SPARK_DRIVER_MEMORY=8g features config
  features config --json | jq -r '.[] | select(.origin == "environment") | .variable'
"""
)
@json_option
@click.option(
    "--markdown", is_flag=True, help="Print the table of all settings and their defaults, as in docs/configuration.md."
)
def config(as_json: bool, markdown: bool) -> None:
    """Show each setting, its value and where that came from.

    A setting is changed by the environment variable in the first column. Passwords are masked.
    """
    from transformations.engine.base.settings import explain, get_settings, unknown_variables

    if markdown:
        say(markdown_table())
        return
    settings = list(explain(get_settings()))
    for variable, remedy in unknown_variables(os.environ):
        remark(f"Warning: no setting reads {variable}: {remedy}.")
    if as_json:
        print_json([asdict(setting) for setting in settings])
        return
    rows = [(setting.variable, setting.value, setting.origin, setting.description) for setting in settings]
    print_table(["Variable", "Value", "From", "Meaning"], rows)


def markdown_table() -> str:
    """The settings as a Markdown table, the same on every machine: variable, default, meaning, example."""
    from transformations.engine.base.settings import Settings, explain

    lines = ["| Variable | Default | Meaning | Example |", "|---|---|---|---|"]
    for setting in explain(Settings()):
        default = f"`{setting.default}`" if setting.default else "unset"
        lines.append(f"| `{setting.variable}` | {default} | {setting.description} | `{setting.example}` |")
    return "\n".join(lines)
