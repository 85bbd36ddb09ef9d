"""What Dagster loads: the graph of a day of the project that the environment names.

Start it with `make orchestrate`, or point a Dagster of your own at this module. It needs the extra `orchestration`.
"""

import dagster as dg

from transformations.engine.base.settings import get_settings
from transformations.engine.launch.quickening import quicken_feast


@dg.definitions
def defs() -> dg.Definitions:
    """Assets, checks, jobs, the schedule and sensors. The process of every run reads them anew."""
    quicken_feast()  # so it takes 2.8 seconds of processor time instead of 6.9
    from transformations.orchestration.dagster_assets import project_definitions

    return project_definitions(get_settings())
