"""What the model server counts, in Prometheus' form: of one process, or of all workers that share a folder."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""Prometheus' own variable for the folder that workers share. Feast's import makes one where there is none, and takes
it away at the end (feast/metrics.py:78); the workers of a server inherit it from the process that starts them.
"""
_BUCKETS = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Metrics:
    """One app's metrics."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self.seconds = Histogram(
            "features_model_request_seconds",
            "From the arrival of a request for predictions to its answer",
            ["model"],
            buckets=_BUCKETS,
            registry=registry,
        )
        self.requests = Counter(
            "features_model_requests", "Requests for predictions by HTTP status", ["model", "status"], registry=registry
        )
        self.predictions = Counter(
            "features_model_predictions", "Rows answered", ["model", "version", "role"], registry=registry
        )
        self.degraded = Counter(
            "features_model_degraded_predictions",
            "Rows answered from defaults, because features could not be read",
            ["model"],
            registry=registry,
        )
        self.unrecorded = Counter(
            "features_model_unrecorded_predictions",
            "Rows answered without a record, where the settings allow it",
            ["model"],
            registry=registry,
        )
        self.event = Gauge(
            "features_model_event_applied",
            "Number of the model's event that the server routes by",
            ["model"],
            multiprocess_mode="livemin",
            registry=registry,
        )
        self.trouble = Gauge(
            "features_model_behind",
            "Whether the model's newest events cannot be followed, so that the last state stays",
            ["model"],
            multiprocess_mode="livemax",
            registry=registry,
        )
        self.looked = Gauge(
            "features_model_state_timestamp_seconds",
            "When the log of models was last read; its age is that of what the server knows",
            multiprocess_mode="livemin",
            registry=registry,
        )
        self.recording = Gauge(
            "features_model_recording",
            "Whether predictions can be recorded",
            multiprocess_mode="livemin",
            registry=registry,
        )
        self.backlog = Gauge(
            "features_model_record_backlog_bytes",
            "Recorded predictions that wait to be collected",
            multiprocess_mode="livemax",
            registry=registry,
        )

        # A label's counter is found in ten microseconds, which every request would pay three times.
        self.predictions_of = lru_cache(maxsize=1_000)(self.predictions.labels)
        self.requests_of = lru_cache(maxsize=1_000)(self.requests.labels)
        self.seconds_of = lru_cache(maxsize=1_000)(self.seconds.labels)

    def text(self) -> tuple[bytes, str]:
        """All of them, with their content type."""
        registry = self._registry
        if folder := os.environ.get(FOLDER):
            _forget_dead_workers(Path(folder))
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry), CONTENT_TYPE_LATEST


def _forget_dead_workers(folder: Path) -> None:
    """Let go of what ended workers said of their present state; what they counted stays."""
    for number in {int(file.stem.rpartition("_")[2]) for file in folder.glob("gauge_live*_*.db")}:
        try:
            os.kill(number, 0)
        except ProcessLookupError:
            mark_process_dead(number, str(folder))  # type: ignore[no-untyped-call]
