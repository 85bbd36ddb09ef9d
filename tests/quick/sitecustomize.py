"""Read by every Python that a test starts: `feast plan` and `feast apply` too import Feast in a third of the time.

Feast's own run-time checks of types are what is left out; in the tests' own process they are in place.
"""

import sys
from pathlib import Path

if Path(sys.argv[0]).name == "feast":
    from transformations.cli.quick_feast import quicken_feast

    quicken_feast()
