"""Every setting of the platform in one typed class, each overridable by an environment variable FEATURES_<NAME>.

The class is its own documentation: `features config` prints name, value, origin and meaning from it, and the README's
table is generated from it. Nothing else in the platform reads FEATURES_* variables or the wall clock.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from transformations.engine.base.errors import DiskError, UsageError, nearest
from transformations.engine.base.moments import as_utc
from transformations.engine.base.words import HIDDEN, show_address, show_spark_setting, show_spark_settings

PREFIX = "FEATURES_"


def find_project_root() -> Path:
    """The checkout this package runs from, else the nearest folder upwards with a feature repository, else here."""
    checkout = Path(__file__).resolve().parents[3]
    if (checkout / "feature_repo").is_dir():
        return checkout
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


_AbsolutePath = Annotated[Path, AfterValidator(_absolute_path)]


class Settings(BaseSettings):
    """What a deployment can change; every field has a default that works on a bare machine.

    Paths are absolute, all times UTC. An empty variable counts as unset. Build it with `get_settings()`;
    constructing it directly (`Settings(data=…)`) is for tests.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="forbid", hide_input_in_errors=True
    )

    data: _AbsolutePath = Field(
        default_factory=lambda: find_project_root() / "data",
        description="Folder of everything that is computed: raw zone, offline tables, datasets, registry, Redis",
        examples=["/var/lib/features"],
    )
    contracts: _AbsolutePath = Field(
        default_factory=lambda: Path(__file__).resolve().parents[3] / "validation" / "contracts",
        description="Folder of the data contracts, one YAML file a source",
        examples=["/etc/features/contracts"],
    )
    expectations: _AbsolutePath = Field(
        default_factory=lambda: Path(__file__).resolve().parents[3] / "validation" / "expectations",
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
        600, gt=0, description="How long a spine written as SQL may take before it is stopped", examples=["60"]
    )
    ingest_memory_limit: str | None = Field(
        None,
        pattern=r"(?i)^\d+(\.\d+)?\s*([kmgt]i?b|%)$",
        description="Memory of an ingestion before it spills to disk; unset: DuckDB's own limit",
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
    clock: Annotated[datetime, BeforeValidator(_refuse_bare_number), AfterValidator(as_utc)] | None = Field(
        None,
        description="The present moment, for replaying history (without an offset: UTC); unset: the wall clock",
        examples=["2017-06-01T12:00:00Z"],
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
    debug: bool = Field(False, description="Show the full stack trace of an error", examples=["1"])

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then the environment; no .env file, so that nothing depends on the working directory."""
        return init_settings, env_settings

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Each setting as `explain` shows it, so that no traceback or log shows more."""
        return ((name, _shown_value(name, getattr(self, name))) for name in type(self).model_fields)

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

    def now(self) -> datetime:
        """The present moment: `clock` where it is set, else the wall clock; aware, in UTC."""
        return self.clock or datetime.now(UTC)


class _SettingsReader:
    """`get_settings()`: the settings of this environment, read again only when a FEATURES_* variable has changed."""

    def __call__(self) -> Settings:
        """Read, or return the same object as before; UsageError names a variable whose value cannot be used."""
        return _read_settings(feature_variables(os.environ), find_project_root())

    def cache_clear(self) -> None:
        """Forget what was read."""
        _read_settings.cache_clear()


get_settings = _SettingsReader()


def file_in_place_of(folder: Path) -> Path | None:
    """The file that stands where this folder, or one above it, should be; None where none does."""
    found = next((part for part in (folder, *folder.parents) if part.exists()), None)
    return None if found is None or found.is_dir() else found


def present_moment() -> datetime:
    """`get_settings().now()` at the price of one variable: an online lookup asks for it at each request."""
    return get_settings().now() if os.environ.get(f"{PREFIX}CLOCK") else datetime.now(UTC)


def feature_variables(environ: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """The FEATURES_* variables of an environment, upper-cased, in order; empty ones count as unset."""
    found = ((name.upper(), value) for name, value in environ.items() if name[: len(PREFIX)].upper() == PREFIX)
    return tuple(sorted((name, value) for name, value in found if value))


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One field of Settings as a person reads it: paths inside the project are relative, passwords are masked."""

    name: str
    variable: str
    value: str | None
    origin: Literal["default", "environment"]
    default: str | None
    description: str
    example: str


def explain(settings: Settings) -> Iterator[Setting]:
    """Each setting with its value, where that came from, its default and its meaning, in the order of the class."""
    given = {variable for variable, _ in feature_variables(os.environ)}
    for name, field in Settings.model_fields.items():
        variable = PREFIX + name.upper()
        yield Setting(
            name=name,
            variable=variable,
            value=_shown_value(name, getattr(settings, name)),
            origin="environment" if variable in given else "default",
            default=_display_text(field.get_default(call_default_factory=True, validated_data={})),
            description=field.description or "",
            example=str(field.examples[0]) if field.examples else "",
        )


def unknown_variables(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The FEATURES_* variables that no setting reads, each with the remedy: the nearest name, and all names."""
    known = [PREFIX + name.upper() for name in Settings.model_fields]
    return ((variable, nearest(variable, known)) for variable, _ in feature_variables(environ) if variable not in known)


@lru_cache(maxsize=32)
def _read_settings(_variables: tuple[tuple[str, str], ...], _root: Path) -> Settings:
    try:
        settings = Settings()
    except ValidationError as error:
        raise UsageError("\n".join(_complaint_text(dict(problem)) for problem in error.errors())) from None
    if file := file_in_place_of(settings.data):
        raise DiskError.not_a_folder(file)
    return settings


_ADDRESSES = frozenset({"lineage", "mlflow_uri", "redis_url", "registry_url"})
_MAY_HOLD_SECRETS = _ADDRESSES | {"lineage_key", "serving_write_token", "spark_conf", "spark_master"}


def _complaint_text(problem: Mapping[str, Any]) -> str:
    name = str(problem["loc"][0])
    field = Settings.model_fields[name]
    given = str(problem["input"])
    value = show_address(given) if name in _ADDRESSES else HIDDEN if name in _MAY_HOLD_SECRETS else given
    reason = str(problem["msg"]).removeprefix("Value error, ").removeprefix("Input ")
    example = f", such as {field.examples[0]}" if field.examples else ""
    return f"{PREFIX}{name.upper()}={value}: {reason}{example}. {field.description}. Change the variable or unset it."


def _shown_value(name: str, value: object) -> str | None:
    text = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
    if value is None or name not in _MAY_HOLD_SECRETS:
        return _display_text(value)
    if name in _ADDRESSES:
        return text if text in ("file", "off") else show_address(text)
    if name == "spark_master":
        return show_spark_setting("spark.master", text)
    return json.dumps(show_spark_settings(value)) if isinstance(value, dict) else HIDDEN


def _display_text(value: object) -> str | None:
    match value:
        case None:
            return None
        case Path():
            root = find_project_root()
            return value.relative_to(root).as_posix() if value.is_relative_to(root) and value != root else str(value)
        case dict():
            return json.dumps(value)
        case datetime():
            return value.isoformat()
        case bool():
            return str(value).lower()
        case _:
            return str(value)
