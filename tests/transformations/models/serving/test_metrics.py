"""What workers that share a folder tell of themselves once one of them has ended."""

import os
import subprocess
import sys
from pathlib import Path

from transformations.models.serving.metrics import FOLDER

WORKER = """
import sys
from transformations.models.serving.metrics import Metrics
metrics = Metrics()
metrics.recording.set(int(sys.argv[1]))
metrics.predictions.labels("churn", "1", "production").inc(int(sys.argv[2]))
print(metrics.text()[0].decode())
"""


def told(folder: Path, recording: int, predictions: int) -> dict[str, float]:
    """All metrics as a worker tells them that then ends."""
    environment = {**os.environ, FOLDER: str(folder)}
    command = [sys.executable, "-c", WORKER, str(recording), str(predictions)]
    lines = subprocess.run(command, capture_output=True, text=True, env=environment, check=True).stdout.splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[:1] not in "#")}


def test_a_worker_that_ended_is_counted_but_tells_nothing_of_the_present(tmp_path: Path) -> None:
    counter = 'features_model_predictions_total{model="churn",role="production",version="1"}'
    first = told(tmp_path, 0, 5)
    assert (first["features_model_recording"], first[counter]) == (0, 5)
    second = told(tmp_path, 1, 7)
    assert second["features_model_recording"] == 1, "the first could not record, but it has ended"
    assert second[counter] == 12
