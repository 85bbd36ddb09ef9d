"""The `features` command: a table of subcommands, loaded when called; the one place where errors become exit codes."""

import importlib
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import click
from click.shell_completion import CompletionItem

from transformations.cli.output import Printed, print_json, remark
from transformations.engine.base.errors import ExitCode, nearest
from transformations.engine.launch.quickening import quicken_feast

_INTERRUPTED = 130
# Read without Settings, which may be what is broken.
_TRUE = {"1", "true", "t", "yes", "y", "on"}


@dataclass(frozen=True)
class Entry:
    """A subcommand's place in the help; the command is `transformations.cli.commands.<room>.<name>:<name>`.

    A - in its name is a _ there.
    """

    section: str
    help: str

    @property
    def room(self) -> str:
        """The folder of the command's module."""
        return _ROOMS[self.section]


DEMO = "demo"
_DEMO_ROOM = "transformations.cli.demo"
_ROOMS = {"Start here": "start", "Data to features": "data", "Look and understand": "look", "Platform": "platform"}

COMMANDS = {
    DEMO: Entry("Start here", "Run the whole path on real data, from files to online lookups"),
    "new": Entry("Start here", "Write the skeletons of a new domain: features, views and test"),
    "doctor": Entry("Start here", "Check this machine and say what to mend"),
    "up": Entry("Data to features", "Ingest what is delivered, build, apply and load: what there is to do"),
    "ingest": Entry("Data to features", "Take a file through its contract into the raw zone"),
    "quarantine": Entry("Data to features", "Show the rows that were set aside when a drop was taken"),
    "contract": Entry("Data to features", "Draft and check data contracts"),
    "build": Entry("Data to features", "Compute the offline tables that are behind"),
    "expect": Entry("Data to features", "Write down what features' values look like, to hold builds against"),
    "restore": Entry("Data to features", "Bring the content of an earlier version of a table back"),
    "dataset": Entry("Data to features", "Make training datasets that can be made again, and prove it"),
    "model": Entry("Data to features", "Train models, judge them, and move their versions"),
    "predictions": Entry("Data to features", "Collect, trace and check the record of what models said"),
    "preview": Entry("Look and understand", "Compute one feature row from raw events, without building"),
    "explain": Entry("Look and understand", "The events, run and row behind a value, and what is online"),
    "show": Entry("Look and understand", "Explain a feature or view: meaning, unit, owner, freshness"),
    "check": Entry("Look and understand", "Hold what is offered against the rules: documented, tested, owned, used"),
    "checklist": Entry("Look and understand", "Perform the checks of a model's reproducibility, and date them"),
    "lineage": Entry("Look and understand", "What a thing is computed from, and what is computed from it"),
    "impact": Entry("Look and understand", "What a change would touch, and who must be asked"),
    "docs": Entry("Look and understand", "Write the catalogue of everything offered, as pages to browse"),
    "status": Entry("Look and understand", "How far each view is complete, and what to run next"),
    "monitor": Entry("Look and understand", "Watch models: drift, frozen features, predictions, data"),
    "outcomes": Entry("Look and understand", "What became of predictions, beside what was promised"),
    "parity": Entry("Look and understand", "Compare online with training, and say what differs and why"),
    "diff": Entry("Look and understand", "What `feast apply` would change, and whom it touches"),
    "runs": Entry("Look and understand", "The runs that wrote a view's table"),
    "run-day": Entry("Platform", "Perform a day's whole graph of tasks, from files to monitored predictions"),
    "config": Entry("Platform", "Each setting, its value and where that came from"),
    "adopt": Entry("Platform", "Bring the rows of Feast's own Redis store into ours"),
    "compact": Entry("Platform", "Merge the small files of tables into few; nothing else changes"),
    "vacuum": Entry("Platform", "Remove what no version of a table refers to"),
    "retire": Entry("Platform", "Which views no model needs any more, and what holds the others"),
    "redis": Entry("Platform", "Start, stop and find the project's own Redis"),
}

_CODES = "\n".join(f"  {code:d}  {code.meaning}" for code in ExitCode)
EPILOG = f"""\b
Exit codes:
{_CODES}

\b
Shell completion, for this shell or in its start file:
  eval "$(_FEATURES_COMPLETE=bash_source features)"     (zsh_source, fish_source)
"""


class LazyGroup(click.Group):
    """A group that knows its subcommands' names and helps without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands whose modules are there, in the order of the table."""
        return [name for name in COMMANDS if name != DEMO or _has_demo()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command; an unknown name fails with the nearest known one."""
        if cmd_name in self.list_commands(ctx):
            command = getattr(importlib.import_module(module_of(cmd_name)), cmd_name.replace("-", "_"))
            assert isinstance(command, click.Command)
            return command
        if not ctx.resilient_parsing:
            ctx.fail(f"No such command {cmd_name!r}: {nearest(cmd_name, self.list_commands(ctx))}.")
        return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table, section by section."""
        known = self.list_commands(ctx)
        for section in dict.fromkeys(COMMANDS[name].section for name in known):
            with formatter.section(section):
                formatter.write_dl([(name, COMMANDS[name].help) for name in known if COMMANDS[name].section == section])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Names and helps from the table, then the group's own options."""
        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        options = click.Command.shell_complete(self, ctx, incomplete)
        return [CompletionItem(name, help=COMMANDS[name].help) for name in names] + options


@click.group(cls=LazyGroup, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="feature-platform", prog_name="features")
def cli() -> None:
    """Compute features from raw data, and keep training and online serving equal.

    Serving, training retrieval and registration are Feast's own commands (`feast -c feature_repo --help`);
    `features` covers the steps around them.
    """


def main() -> NoReturn:
    """The console script: run the command line and exit with its code."""
    quicken_feast()  # whatever the command imports first
    keep_from_others()
    sys.exit(run(sys.argv[1:]))


def keep_from_others() -> None:
    """Give files that this process and its children write mode 0640 at most, folders 0750: others must not read data.

    A stricter umask of the user's stays.
    """
    os.umask(os.umask(0o077) | 0o027)


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; every error is one clear block on stderr, never a stack trace.

    Under --json it is a document on stdout as well, unless the command has printed one that says more.
    """
    printed = Printed()
    code, said = _run(arguments, printed)
    if said is not None and "--json" in arguments and not printed.document:
        print_json({"error": said, "exit_code": int(code)})
    return code


def _run(arguments: Sequence[str], printed: Printed) -> tuple[int, str | None]:
    """The exit code, and what was said of an error: its message as it stands on stderr, without its heading."""
    if not _has_working_directory():
        said = "the folder that this command was called in is gone. Change into another one (cd)."
        remark(f"Error: {said}")
        return ExitCode.ENVIRONMENT, said
    try:
        code = cli.main(list(arguments), prog_name="features", standalone_mode=False, obj=printed)
    except click.exceptions.Abort as abort:
        interrupted = isinstance(abort.__cause__, KeyboardInterrupt)
        said = "Interrupted." if interrupted else "Nothing done."
        remark(said)
        return _INTERRUPTED if interrupted else ExitCode.FAULT, said
    except click.UsageError as error:
        error.show()
        return error.exit_code, error.format_message()
    except Exception as error:
        if os.environ.get("FEATURES_DEBUG", "").lower() in _TRUE:
            raise
        heading, said, code = _message_and_code(error)
        remark(f"{click.style(heading, fg='red', bold=True)} {said}")
        return code, said
    return code if isinstance(code, int) else 0, None


def module_of(name: str) -> str:
    """The module of a subcommand."""
    if name == DEMO:  # a room of its own, which `features new --blank` removes whole
        return f"{_DEMO_ROOM}.command"
    return f"transformations.cli.commands.{COMMANDS[name].room}.{name.replace('-', '_')}"


def _has_working_directory() -> bool:
    try:
        Path.cwd()
    except FileNotFoundError:
        return False
    return True


def _has_demo() -> bool:
    return (Path(__file__).parent / "demo" / "command.py").is_file()


def _message_and_code(error: Exception) -> tuple[str, str, int]:
    """The heading and the message for an error, and the exit code."""
    heading = "Error:"
    code = getattr(error, "exit_code", None)
    if code is not None:
        message = error.format_message() if isinstance(error, click.ClickException) else str(error)
        return heading, message, code if isinstance(code, int) else ExitCode.FAULT
    from transformations.engine.base import authored, disk_faults

    if fault := disk_faults.known_fault(error):
        return heading, fault.message, fault.exit_code
    place = authored.place_of(error)
    if place is not None:
        return heading, authored.explanation(error, place), ExitCode.USAGE
    package = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    if extras := _extras_with(package):
        said = f"{package} is not installed here. Install it: pip install 'feature-platform[{','.join(extras)}]'."
        return heading, said, ExitCode.USAGE
    said = (
        f"{type(error).__name__}: {error}\n"
        "This is a fault of the platform, not yours. The same command with FEATURES_DEBUG=1 before it shows where."
    )
    return "Unexpected error:", said, ExitCode.FAULT


def _extras_with(package: str) -> list[str]:
    """The extras of ours, development's apart, that bring a package of this import name."""
    import importlib.metadata

    brings = re.compile(rf"{re.escape(package.replace('_', '-'))}\b.*extra == ['\"]([\w-]+)['\"]")
    required = importlib.metadata.requires("feature-platform") or [] if package else []
    return sorted({found[1] for each in required if (found := brings.match(each))} - {"dev"})
