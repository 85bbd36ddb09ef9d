"""Start one of Feast's commands in two seconds instead of five; `feast` itself starts unchanged.

`python -m transformations.cli.quick_feast serve …` is `feast serve …`, for scripts and containers of your own. The demo
runs Feast's commands this way.
"""

from __future__ import annotations

import sys

from transformations.engine.launch.quickening import quicken_feast

# These run definition files, where wrong types come from: Feast's own checks of what it is given stay.
CHECKED_COMMANDS = frozenset({"apply", "plan"})


def main() -> None:
    """Run one of Feast's commands, without Feast's checks of types unless the command runs definition files."""
    if CHECKED_COMMANDS.isdisjoint(sys.argv[1:]):
        quicken_feast()
    from feast.cli.cli import cli

    cli(prog_name="feast")


if __name__ == "__main__":
    main()
