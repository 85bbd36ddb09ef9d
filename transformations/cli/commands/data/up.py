"""`features up`: from delivered files to online lookups, each step printed as the command that one could type."""

from __future__ import annotations

import click

from transformations.cli.output import console, remark, say
from transformations.cli.steps import Step, alone, run
from transformations.engine.base.settings import get_settings


@click.command(
    epilog="""\b
Examples:
  features up

\b
Where the files of a source are, its contract says; a * in the file's name stands for any text:
  servers:
    - { server: drop, type: local, path: deliveries/clicks-*.parquet, format: parquet }
Files are ingested in the order of their names. What cannot be taken without your word (a correction, how far a source
is complete, a change that takes features away) ends the command with its message: say it by the command of that step,
then start again.
"""
)
def up() -> None:
    """Ingest what is delivered, build, apply and materialize: what there is to do, and nothing else.

    Each command is printed as one could type it. Interrupt it at any moment: the next run goes on from there.
    """
    from transformations.insight.bring_up import bring_up

    settings, terminal = get_settings(), console(stderr=False)
    with alone(settings.data / ".up.lock", terminal) as lock:
        done = bring_up(
            settings,
            lambda each: run(Step(title=each.title, program=each.program, arguments=each.arguments), terminal, lock),
            remark,
        )
    say("" if done else "nothing to do: what is delivered is online")
