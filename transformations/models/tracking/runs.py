"""Training runs in MLflow: parameters, curves, costs and documents of each."""

from __future__ import annotations

import importlib.util
import logging
import os
import sqlite3
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from transformations.engine.base import storage
from transformations.engine.base.disk_faults import known_fault
from transformations.engine.base.errors import FeaturesError, ServiceUnavailableError, UsageError
from transformations.engine.base.settings import Settings
from transformations.engine.base.words import show_address, show_reason

if TYPE_CHECKING:
    from mlflow.entities import Metric
    from mlflow.tracking import MlflowClient

_LONGEST_PARAMETER = 500
_BATCH = 500
_PARENT = "mlflow.parentRunId"  # MLflow's own tag, by which its pages nest runs


@dataclass
class Run:
    """A run that is going on. Metrics are written in batches: a call a number would cost more than training."""

    client: MlflowClient
    id: str
    uri: str
    _metrics: list[Metric] = field(default_factory=list)

    def record(self, metrics: Mapping[str, float], step: int) -> None:
        """Metrics of an iteration, or of a second; from any thread."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._metrics += [Metric(name, float(value), now, step) for name, value in metrics.items()]

    def write(self) -> None:
        """Write down the metrics so far."""
        while self._metrics:
            batch, self._metrics = self._metrics[:_BATCH], self._metrics[_BATCH:]
            self.client.log_batch(self.id, metrics=batch)

    def describe(self, parameters: Mapping[str, object], tags: Mapping[str, str]) -> None:
        """Parameters and tags of the run; long parameters are cut, their whole text is in the documents."""
        from mlflow.entities import Param, RunTag

        self.client.log_batch(
            self.id,
            params=[Param(name, str(value)[:_LONGEST_PARAMETER]) for name, value in parameters.items()],
            tags=[RunTag(name, value) for name, value in tags.items()],
        )

    def use(self, dataset: str, digest: str, source: str, profile: str) -> None:
        """The dataset that the run reads, by the hash of its manifest. profile: JSON of its statistics."""
        from mlflow.entities import Dataset, DatasetInput, InputTag
        from mlflow.exceptions import MlflowException

        read = Dataset(name=dataset, digest=digest[:36], source_type="dataset", source=source, profile=profile)
        inputs = [DatasetInput(read, [InputTag("mlflow.data.context", "training")])]
        try:
            self.client.log_inputs(self.id, datasets=inputs)
        except MlflowException:  # MLflow (3.17) refuses one of two runs that name a dataset at once for the first time
            self.client.log_inputs(self.id, datasets=inputs)

    def end_other(self, run: str, is_whole: bool) -> None:
        """Say of a run whose process was killed how it ended; is_whole: a version came of it all the same."""
        _try_to_terminate(self.client, run, "FINISHED" if is_whole else "KILLED")

    def keep(self, name: str, text: str) -> None:
        """A document of the run."""
        self.client.log_text(self.id, text, name)


@contextmanager
def run_of(model: str, settings: Settings, parent: Run | None = None) -> Iterator[Run]:
    """A run of a model's experiment, finished at the end, failed where an error leaves it. parent: whose part it is.

    ServiceUnavailableError where MLflow cannot be reached: what is not recorded is not trained.
    """
    with reaching(settings):
        client = client_of(settings) if parent is None else parent.client
        tags = {} if parent is None else {_PARENT: parent.id}
        run = client.create_run(_experiment(client, model, settings), tags=tags)
    found = Run(client, run.info.run_id, run.info.artifact_uri)
    try:
        yield found
        with reaching(settings):
            found.write()
            client.set_terminated(found.id)
    except BaseException as error:
        status = "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED"
        _try_to_terminate(client, found.id, status)
        raise


@contextmanager
def reaching(settings: Settings) -> Iterator[None]:
    """ServiceUnavailableError in place of whatever MLflow, its database or the network raises."""
    try:
        yield
    except FeaturesError:
        raise
    except Exception as error:
        where = show_address(settings.mlflow_uri) if settings.mlflow_uri else settings.mlflow_dir
        raise ServiceUnavailableError(
            f"MLflow at {where} cannot be used ({show_reason(error)}). Check FEATURES_MLFLOW_URI and the server, then "
            f"repeat the command."
        ) from error


def client_of(settings: Settings) -> MlflowClient:
    """A client of the configured MLflow, whose telemetry is off. UsageError where MLflow is not installed."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    if importlib.util.find_spec("mlflow") is None:
        raise UsageError("MLflow, which records trainings, is not installed: pip install 'feature-platform[track]'.")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # it prints the trace of what it also raises
    from mlflow.tracking import MlflowClient

    if settings.mlflow_uri is not None:
        return MlflowClient(settings.mlflow_uri, settings.mlflow_uri)
    storage.make_folder(settings.mlflow_dir)
    file = settings.mlflow_dir / "mlflow.db"
    uri = f"sqlite:///{file}"
    # The first client makes the tables; two that make them at once disturb each other.
    with storage.exclusive(settings.mlflow_dir / ".schema.lock", "MLflow's database"), warnings.catch_warnings():
        _refuse_unreadable(file)
        warnings.simplefilter("ignore", DeprecationWarning)  # what MLflow asks of SQLAlchemy is not ours to change
        client = MlflowClient(uri, uri)
        client.search_experiments(max_results=1)
    storage.close_to_others(file)
    return client


def _refuse_unreadable(file: Path) -> None:
    """DiskError or DataError for MLflow's database, which MLflow itself would try to open for 100 seconds."""
    try:
        with closing(sqlite3.connect(file)) as database:
            database.execute("PRAGMA schema_version")
    except sqlite3.Error as error:
        raise known_fault(error, str(file)) or error from error


def _experiment(client: MlflowClient, model: str, settings: Settings) -> str:
    """The model's experiment; its files lie in the data folder, not in `./mlruns`, unless a server decides."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(model)
    if found is not None:
        return str(found.experiment_id)
    place = None if settings.mlflow_uri else (settings.mlflow_dir / model).as_uri()
    try:
        return str(client.create_experiment(model, artifact_location=place))
    except MlflowException:  # another process has just made it
        found = client.get_experiment_by_name(model)
        if found is None:
            raise
        return str(found.experiment_id)


def _try_to_terminate(client: MlflowClient, run: str, status: str) -> None:
    try:
        client.set_terminated(run, status)
    except Exception:  # the error that ended the run is the one to tell
        logging.getLogger(__name__).debug("run %s could not be marked as %s", run, status)
