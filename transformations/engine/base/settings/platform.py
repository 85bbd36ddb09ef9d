"""What the platform itself can be told: where its data lies, its services, Spark, retrieval, ingestion, the clock."""

import hashlib
import json
import re
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    SecretStr,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode

from transformations.engine.base.moments import as_utc

_CHECKOUT = Path(__file__).resolve().parents[4]


def find_project_root() -> Path:
    """The checkout this package runs from, else the nearest folder upwards with a feature repository, else here."""
    if (_CHECKOUT / "feature_repo").is_dir():
        return _CHECKOUT
    here = Path.cwd()
    holders = (folder for folder in (here, *here.parents) if (folder / "feature_repo" / "feature_store.yaml").is_file())
    return next(holders, here)


# `feast -c feature_repo …` changes into the repository before it reads the first setting.
STARTED_IN = Path.cwd()


def _absolute_path(path: Path) -> Path:
    return (STARTED_IN / path.expanduser()).resolve()


def _refuse_bare_number(value: object) -> object:
    """Pydantic takes a number for seconds or milliseconds since 1970: 2017 would be some minutes past midnight."""
    if isinstance(value, int | float) or (isinstance(value, str) and re.fullmatch(r"\s*[+-]?[\d_.]+(e\d+)?\s*", value)):
        raise ValueError("a number alone is no moment")
    return value


def _parse_object(value: object) -> object:
    if not isinstance(value, str):
        return value
    parsed = json.loads(value)
    if not isinstance(parsed, dict):
        raise ValueError("not a JSON object")
    return {key: entry if isinstance(entry, str) else json.dumps(entry) for key, entry in parsed.items()}


_BUCKETS = ("s3", "gs", "az")
"""The schemes of object storage that puts an object only where there is none yet, which commits need."""


def _is_url(text: object) -> bool:
    return isinstance(text, str) and re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", text) is not None


def _refuse_other_urls(value: object) -> object:
    if not isinstance(value, str) or not _is_url(value):
        return value
    parts = urlsplit(value)
    if parts.scheme not in _BUCKETS:
        raise ValueError(f"a folder, or a URL that begins with one of {', '.join(f'{each}://' for each in _BUCKETS)}")
    if not parts.netloc or "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("a URL of object storage is scheme://bucket/prefix; credentials come from the environment")
    return value


def _folder_of_copies(url: str) -> Path:
    """Where the copies of a place in object storage are by default: a folder of its own in the project."""
    readable = re.sub(r"[^A-Za-z0-9.-]+", "-", url.partition("://")[2])[:60]
    return find_project_root() / "data" / "copies" / f"{readable}-{hashlib.sha256(url.encode()).hexdigest()[:8]}"


_AbsolutePath = Annotated[Path, AfterValidator(_absolute_path)]

Moment = Annotated[datetime, BeforeValidator(_refuse_bare_number), AfterValidator(as_utc)]
"""A moment as text in ISO 8601; without an offset it is UTC."""


class PlatformSettings(BaseSettings):
    """The settings of everything but the model server. Paths are absolute, all times UTC."""

    data: Annotated[_AbsolutePath, BeforeValidator(_refuse_other_urls)] = Field(
        default_factory=lambda: find_project_root() / "data",
        description="Folder of everything that is computed: raw zone, offline tables, datasets, registry, Redis; or a "
        "URL of object storage (docs/object-storage.md)",
        examples=["/var/lib/features"],
    )
    local: _AbsolutePath | None = Field(
        None,
        description="With `data` in object storage: the folder of this machine's copies, locks, registry, Redis and "
        "Spark's scratch space; unset: one a URL in `data/copies`",
        examples=["/var/cache/features"],
    )
    local_gb: float | None = Field(
        None,
        gt=0,
        description="Most GB of copied data files that stay in `local`; the longest unused go first, after an hour",
        examples=["50"],
    )
    contracts: _AbsolutePath = Field(
        default_factory=lambda: _CHECKOUT / "validation" / "contracts",
        description="Folder of the data contracts, one YAML file a source",
        examples=["/etc/features/contracts"],
    )
    expectations: _AbsolutePath = Field(
        default_factory=lambda: _CHECKOUT / "validation" / "expectations",
        description="Folder of the features' expected distributions, one YAML file a view",
        examples=["/etc/features/expectations"],
    )
    registry_url: str | None = Field(
        None,
        description="SQLAlchemy URL of Feast's registry; unset: the SQLite file `registry.db` in the data folder",
        examples=["postgresql+psycopg://user:password@host/registry"],
    )
    mlflow_uri: str | None = Field(
        None,
        description="Where MLflow records training runs; unset: the SQLite file `mlflow/mlflow.db` in the data folder",
        examples=["http://mlflow.internal:5000"],
    )
    redis_url: SecretStr | None = Field(
        None,
        description="URL of the online store; unset: a Redis of our own, where the `local` extra is installed",
        examples=["rediss://user:password@host:6379/0"],
    )
    redis_read_timeout_ms: int = Field(
        250, gt=0, description="Longest wait for Redis in an online lookup, in milliseconds", examples=["250"]
    )
    redis_write_timeout_ms: int = Field(
        5_000, gt=0, description="Longest wait for Redis in a write or an upkeep command, in ms", examples=["5000"]
    )
    keys: Literal["lossless", "declared"] = Field(
        "lossless",
        description="Whether the key 2 may come as the text 2, and the text 5 as a number (`lossless`), or not",
        examples=["declared"],
    )
    push_lead_seconds: int = Field(
        300, ge=0, description="How far ahead of the clock a pushed row may lie, in seconds", examples=["300"]
    )
    serving_writes: Literal["off", "token", "open"] = Field(
        "off",
        description="Endpoints of `feast serve` that write, such as /push: closed, for requests with the "
        "`serving_write_token`, or open to all who reach the port",
        examples=["token"],
    )
    serving_write_token: SecretStr | None = Field(
        None,
        min_length=16,
        description="What a request that writes must send as `Authorization: Bearer <token>`, at least 16 characters",
        examples=["$(openssl rand -hex 32)"],
    )
    serving_max_rows: int = Field(
        100_000, gt=0, description="Most rows of one request to `feast serve`", examples=["10000"]
    )
    serving_max_body_mb: int = Field(
        32, gt=0, description="Largest body of one request to `feast serve`, in MB", examples=["8"]
    )
    java_home: _AbsolutePath | None = Field(
        None,
        description="Java (17 or newer) for Spark; unset: JAVA_HOME, then `java` on PATH, then the `local` extra's own",
        examples=["/usr/lib/jvm/java-17"],
    )
    spark_master: str = Field("local[*]", min_length=1, description="Spark master URL", examples=["spark://host:7077"])
    spark_conf: Annotated[dict[str, str], NoDecode, BeforeValidator(_parse_object)] = Field(
        default_factory=dict,
        description="Further `spark.*` settings, as one JSON object",
        examples=['{"spark.sql.shuffle.partitions": "16"}'],
    )
    spark_driver_memory: str = Field(
        "4g", pattern=r"(?i)^\d+[kmgt]b?$", description="Memory of the Spark driver", examples=["4g"]
    )
    raw_keep_originals_days: int | None = Field(
        None,
        ge=0,
        description="Days after which `features vacuum` removes the files of drops that were merged into others; "
        "unset: never",
        examples=["365"],
    )
    offline_threads: int | None = Field(
        None, gt=0, description="Threads of a training retrieval; unset: one a core", examples=["8"]
    )
    offline_memory_limit: str | None = Field(
        None,
        pattern=r"(?i)^\d+(\.\d+)?\s*([kmgt]i?b|%)$",
        description="Memory of a training retrieval before it spills to disk; unset: DuckDB's own limit",
        examples=["8GB"],
    )
    offline_spill: _AbsolutePath | None = Field(
        None, description="Folder where a training retrieval spills; unset: a temporary one", examples=["/mnt/scratch"]
    )
    offline_query_seconds: float = Field(
        600,
        gt=0,
        description="How long a spine written as SQL may take before it is stopped; one function's work on a value of "
        "gigabytes is not stopped half-way",
        examples=["60"],
    )
    offline_verify: bool = Field(
        True,
        description="Whether a process verifies the SHA-256 of each stored file before it first reads it for training",
        examples=["false"],
    )
    ingest_memory_limit: str | None = Field(
        None,
        pattern=r"(?i)^\d+(\.\d+)?\s*([kmgt]i?b|%)$",
        description="Memory of a process that ingests, which spills to disk to keep within it; unset: no limit of ours",
        examples=["2GB"],
    )
    ingest_spill: _AbsolutePath | None = Field(
        None, description="Folder where an ingestion spills; unset: a temporary one", examples=["/mnt/scratch"]
    )
    quality_seconds: float = Field(
        600, gt=0, description="How long a contract's query, or all its custom rules, may take", examples=["60"]
    )
    quality_pandas_rows: int = Field(
        2_000_000,
        ge=0,
        description="Up to how many rows of a drop a contract's custom rules run in pandas; beyond, in Spark",
        examples=["500000"],
    )
    lineage: str = Field(
        "file",
        pattern=r"^(off|file|https?://\S+)$",
        description="Where OpenLineage events of what is done go: `file` (lineage/events.jsonl in the data folder), "
        "the URL of an endpoint, or `off`",
        examples=["https://lineage.example.com/api/v1/lineage"],
    )
    lineage_key: SecretStr | None = Field(
        None, description="What the lineage endpoint wants as `Authorization: Bearer <key>`", examples=["$LINEAGE_KEY"]
    )
    clock: Moment | None = Field(
        None,
        description="The present moment, for replaying history (without an offset: UTC); unset: the wall clock",
        examples=["2017-06-01T12:00:00Z"],
    )
    clock_file: _AbsolutePath | None = Field(
        None,
        description="A file that holds the present moment, read at every look, so that a replay can let time pass for "
        "servers that run; `clock`, where set, goes before it",
        examples=["/var/lib/features/clock"],
    )
    nullable_dtypes: bool = Field(
        False, description="Training frames with pandas' nullable dtypes in place of NumPy's", examples=["true"]
    )
    parity_tolerance: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of compared values that may be skewed before `features parity` fails",
        examples=["0.001"],
    )
    run_day_complete: bool = Field(
        False,
        description="Whether `features run-day` takes the deliveries of its day to be all in: sources of events are "
        "complete through it",
        examples=["true"],
    )
    run_day_first: date = Field(
        date(2020, 1, 1), description="The first business day that the orchestrator offers", examples=["2017-01-01"]
    )
    run_day_promote: bool = Field(
        False,
        description="Whether `features run-day` brings a model's first version that passed its gates to production; "
        "otherwise a person does",
        examples=["true"],
    )
    debug: bool = Field(False, description="Show the full stack trace of an error", examples=["1"])

    _bucket: str | None = PrivateAttr(None)

    @model_validator(mode="wrap")
    @classmethod
    def _separate_copies(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Keep a URL of object storage apart: `data` is the local folder of its copies."""
        url = values.get("data") if isinstance(values, dict) else None
        settings = handler(values)
        if _is_url(url):
            settings._bucket = str(url).rstrip("/")
            object.__setattr__(settings, "data", settings.local or _folder_of_copies(str(url).rstrip("/")))
        return settings

    @property
    def bucket(self) -> str | None:
        """The URL of object storage that `data` names, of which the folder `data` has copies; None for a folder."""
        return self._bucket

    @property
    def project_root(self) -> Path:
        """The folder that holds `feature_repo/`."""
        return find_project_root()

    @property
    def raw_dir(self) -> Path:
        """The raw zone: one table a source."""
        return self.data / "raw"

    @property
    def offline_dir(self) -> Path:
        """The offline tables: one a feature view."""
        return self.data / "offline"

    @property
    def datasets_dir(self) -> Path:
        """Pinned training datasets."""
        return self.data / "datasets"

    @property
    def models_dir(self) -> Path:
        """The artifacts of models, a folder a model and in it one a training run."""
        return self.data / "models"

    @property
    def predictions_dir(self) -> Path:
        """The record of predictions, a folder a model."""
        return self.data / "predictions"

    @property
    def monitoring_dir(self) -> Path:
        """What was found of models day by day, a folder a model."""
        return self.data / "monitoring"

    @property
    def mlflow_dir(self) -> Path:
        """MLflow's own database and files, used unless `mlflow_uri` is set."""
        return self.data / "mlflow"

    @property
    def spark_dir(self) -> Path:
        """Spark's scratch space and log."""
        return self.data / "spark"

    @property
    def redis_dir(self) -> Path:
        """The embedded Redis: its socket, log and append-only file."""
        return self.data / "redis"

    @property
    def registry_path(self) -> Path:
        """The SQLite registry, used unless `registry_url` is set."""
        return self.data / "registry.db"
