"""Where Dagster keeps its runs: a folder below the data, set up so that it tells nobody and runs few things at once.

`python -m transformations.orchestration.dagster_home` makes it and prints where it is, for DAGSTER_HOME.
"""

from __future__ import annotations

import sys
from pathlib import Path

from transformations.engine.base.settings import Settings, get_settings
from transformations.engine.base.storage import make_folder, replace_text
from transformations.orchestration.day_record import FOLDER

CONFIGURATION = """\
# Written by the platform where it was missing; what you change here stays.
telemetry:
  enabled: false
nux:                      # no invitation to leave one's address before the first page
  enabled: false
concurrency:
  pools:
    granularity: op
    default_limit: 1      # of compute and io each: one Spark at a time
  runs:
    max_concurrent_runs: 2
run_queue:
  dequeue_interval_seconds: 1
run_launcher:             # tells run monitoring when a run went down with all of Dagster
  module: transformations.orchestration.dagster_launcher
  class: WatchedRunLauncher
run_monitoring:           # a run whose process was killed has failed, and gives its pools back
  enabled: true
  start_timeout_seconds: 120   # one starts in ten; one that is late after all does nothing
  poll_interval_seconds: 10
  free_slots_after_run_end_seconds: 5
run_retries:              # and is run again by itself; where a task failed, that would change nothing
  enabled: true
  max_retries: 3
  retry_on_asset_or_op_failure: false
"""


def home(settings: Settings) -> Path:
    """The folder for DAGSTER_HOME, with a configuration."""
    folder = settings.data / FOLDER / "dagster"
    make_folder(folder)
    file = folder / "dagster.yaml"
    if not file.exists():
        replace_text(file, CONFIGURATION)
    return folder


if __name__ == "__main__":
    sys.stdout.write(f"{home(get_settings())}\n")
