"""Read by every Python that a test starts: all of Feast's commands then import Feast in a third of the time.

Feast's own run-time checks of types are what is left out; in the tests' own process they are in place.
"""

import sys
from pathlib import Path

if {"feast", "features"} & {Path(argument).name for argument in sys.orig_argv[:2]}:
    from transformations.cli.quick_feast import quicken_feast

    quicken_feast()
