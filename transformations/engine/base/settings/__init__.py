"""Every setting of the platform in one typed class, each overridable by an environment variable FEATURES_<NAME>.

The class is its own documentation: `features config` prints name, value, origin and meaning from it, and the README's
table is generated from it. Nothing else in the platform reads FEATURES_* variables or the wall clock.
"""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import SecretStr, TypeAdapter, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from transformations.engine.base.errors import DiskError, UsageError, nearest
from transformations.engine.base.settings.model_server import ModelServerSettings
from transformations.engine.base.settings.platform import Moment, PlatformSettings, find_project_root
from transformations.engine.base.words import HIDDEN, show_address, show_spark_setting, show_spark_settings

PREFIX = "FEATURES_"
_MOMENT: TypeAdapter[datetime] = TypeAdapter(Moment)
COPIES_OF = ".copies-of"
"""The file in a folder of copies that has the URL of what they are copies of."""


class Settings(ModelServerSettings, PlatformSettings):
    """What a deployment can change; every field has a default that works on a bare machine.

    Paths are absolute, all times UTC. An empty variable counts as unset. Build it with `get_settings()`;
    constructing it directly (`Settings(data=…)`) is for tests.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="forbid", hide_input_in_errors=True
    )

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

    def now(self) -> datetime:
        """The present moment: `clock` where it is set, what `clock_file` holds, else the wall clock; aware, in UTC.

        UsageError for a file that holds no moment.
        """
        if self.clock is not None:
            return self.clock
        return datetime.now(UTC) if self.clock_file is None else _moment_in(self.clock_file)


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
    is_set = os.environ.get(f"{PREFIX}CLOCK") or os.environ.get(f"{PREFIX}CLOCK_FILE")
    return get_settings().now() if is_set else datetime.now(UTC)


def _moment_in(file: Path) -> datetime:
    """The moment that a file holds, written as FEATURES_CLOCK is."""
    try:
        return _MOMENT.validate_python(file.read_text().strip())
    except (OSError, ValueError) as error:  # pydantic's and Unicode's errors are ValueErrors
        reason = error.strerror if isinstance(error, OSError) else "it holds no moment"
        raise UsageError(
            f"{PREFIX}CLOCK_FILE={file}: {reason}. Write a moment into it, such as 2017-06-01T12:00:00Z, or unset the "
            f"variable."
        ) from None


def keeps_copies() -> bool:
    """Whether `get_settings().bucket` is set, at the price of two variables: each file that is read is asked about."""
    name = f"{PREFIX}DATA"
    given = os.environ.get(name) or os.environ.get(name.lower()) or ""
    return "://" in given and get_settings().bucket is not None


def feature_variables(environ: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """The FEATURES_* variables of an environment, upper-cased, in order; empty ones count as unset."""
    names = [name for name in environ if name[: len(PREFIX)].upper() == PREFIX]
    return tuple(sorted((name.upper(), value) for name in names if (value := environ.get(name))))


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
            value=(name == "data" and settings.bucket) or _shown_value(name, getattr(settings, name)),
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
    _refuse_others_copies(settings)
    return settings


def _refuse_others_copies(settings: Settings) -> None:
    """Copies of a place in object storage are no data folder, nor those of another place."""
    zones = [zone for zone in (settings.raw_dir, settings.offline_dir) if zone.is_dir()]
    note = settings.data / COPIES_OF  # read last: whoever makes copies meanwhile writes it before there are zones
    copied = note.read_text(encoding="utf-8").strip() if note.is_file() else None
    if copied is not None and settings.bucket is None:
        raise UsageError(
            f"FEATURES_DATA={settings.data}: this folder has copies of what is in {copied}. Set FEATURES_DATA to that "
            f"URL and FEATURES_LOCAL to this folder."
        )
    is_own = copied is None and bool(zones)
    if settings.bucket is not None and (copied not in (None, settings.bucket) or is_own):
        held = f"copies of {copied}" if copied else "data of its own"
        raise UsageError(
            f"FEATURES_LOCAL={settings.data}: this folder has {held}, and FEATURES_DATA={settings.bucket} needs one of "
            f"its own. Set FEATURES_LOCAL to another folder."
        )


_ADDRESSES = frozenset({"lineage", "mlflow_uri", "redis_url", "registry_url"})
_MAY_HOLD_SECRETS = _ADDRESSES | {
    "lineage_key",
    "predict_tokens",
    "record_key",
    "serving_write_token",
    "spark_conf",
    "spark_master",
}


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
