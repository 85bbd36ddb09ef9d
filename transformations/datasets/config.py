"""The configuration of a pinned dataset: one YAML file, checked whole before anything is read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Annotated, TypeGuard, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StrictBool,
    StrictInt,
    ValidationError,
    field_validator,
    model_validator,
)

from transformations.contracts import ContractError
from transformations.contracts.document import line_of, read_yaml, shown_path, text_of
from transformations.contracts.zones import fault_of_zone
from transformations.engine.base.business_days import start_of_day
from transformations.engine.base.errors import UsageError, nearest
from transformations.engine.base.moments import as_utc, moment_text

_TRAINING = ", and for training label and split"
SPLITS = ("train", "validation", "test")
NAME = "[A-Za-z0-9][A-Za-z0-9_-]*"
"""What a dataset can be called; also the name of its folder."""
SCORING = "scoring"
"""The only split of a dataset that has neither a label nor splits."""


def _parse_duration(value: object) -> object:
    if isinstance(value, timedelta):
        return value
    found = re.fullmatch(r"(\d+) (day|hour|minute)s?", str(value).strip())
    if found is None:
        raise ValueError("a duration is a number of days, hours or minutes, such as 28 days")
    return timedelta(**{f"{found[2]}s": int(found[1])})


def _duration_text(value: timedelta) -> str:
    for unit, size in (("days", timedelta(days=1)), ("hours", timedelta(hours=1))):
        if value % size == timedelta(0):
            return f"{value // size} {unit}"
    return f"{value // timedelta(minutes=1)} minutes"


def _parse_moment(value: object) -> object:
    """Text of a date stays a date, so that it means the start of that day; YAML makes dates of its own."""
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value.strip()):
        return date.fromisoformat(value.strip())
    if isinstance(value, int | float) or (isinstance(value, str) and not re.match(r"\d{4}-\d\d-\d\d", value.strip())):
        # Pydantic would take a number for seconds, or milliseconds, since 1970.
        raise ValueError(f"{value!r} is neither a day (2020-02-01) nor a moment (2020-02-01T09:30:00Z)")
    return value


def _refuse_boolean(value: object) -> object:
    """YAML's true would be taken for 1."""
    if isinstance(value, bool):
        raise ValueError(f"{value!r} is no share of the rows, such as 0.1")
    return value


Duration = Annotated[timedelta, BeforeValidator(_parse_duration), PlainSerializer(_duration_text)]
Moment = Annotated[datetime | date, BeforeValidator(_parse_moment)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SpineConfig(_Model):
    """Where the rows come from: a query over `raw.<source>` and `offline.<view>`, or a file (Parquet or CSV)."""

    query: str | None = None
    file: Path | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> SpineConfig:
        if (self.query is None) == (self.file is None):
            raise ValueError("give either query or file")
        return self


class LabelConfig(_Model):
    """The spine's column to be predicted, and how long after a row's moment t it looks: [t, t + horizon).

    known_until: the moment from which labels are not known yet. By default where the first of the raw sources that the
    query reads ends; a later moment than that has no effect.
    """

    column: str
    horizon: Duration = Field(gt=timedelta(0))
    known_until: Moment | None = None


class SplitConfig(_Model):
    """Where each split begins; it ends where the next one begins, the last at `end`, if any.

    A date is the start of that day in `zone`. A moment carries its offset; older manifests may hold one without, which
    is UTC.
    """

    train: Moment
    validation: Moment | None = None
    test: Moment | None = None
    end: Moment | None = None
    zone: str = "UTC"

    @field_validator("zone")
    @classmethod
    def _is_zone(cls, zone: str) -> str:
        if fault := fault_of_zone(zone):
            raise ValueError(f"{zone!r} is {fault}. Write one such as Europe/Berlin")
        return zone

    @model_validator(mode="after")
    def _refuse_disorder(self) -> SplitConfig:
        moments = [(name, self.instant(value)) for name in (*SPLITS, "end") if (value := getattr(self, name))]
        for (earlier, first), (later, second) in pairwise(moments):
            if first >= second:
                one, other = (moment_text(moment, self.zone, seconds=False) for moment in (first, second))
                raise ValueError(f"{later} ({other}) must be after {earlier} ({one})")
        return self

    def instant(self, moment: datetime | date) -> datetime:
        """A moment of this configuration in UTC."""
        if isinstance(moment, datetime):
            return as_utc(moment)
        return start_of_day(moment, self.zone)


class ChecksConfig(_Model):
    """How much of what a dataset is checked for may be found before it is not fit to learn from, in shares of its rows.

    duplicates: rows that stand there again, equal in every column. contradictions: rows that are equal but for the
    label. label_noise: labels that contradict an out-of-fold model where it is surest. sequences: rows that are
    `impossible`, by rules such as `closed_at < opened_at` or, of the entity's row before,
    `visits_lifetime < previous.visits_lifetime`.
    """

    duplicates: Annotated[float, BeforeValidator(_refuse_boolean)] = Field(0.0, ge=0, le=1)
    contradictions: Annotated[float, BeforeValidator(_refuse_boolean)] = Field(0.0, ge=0, le=1)
    label_noise: Annotated[float, BeforeValidator(_refuse_boolean)] = Field(0.1, ge=0, le=1)
    sequences: Annotated[float, BeforeValidator(_refuse_boolean)] = Field(0.0, ge=0, le=1)
    impossible: tuple[str, ...] = ()


class DatasetConfig(_Model):
    """What a dataset is made of.

    Without a label it is for scoring: every row of the spine, in one split called `scoring` unless `split` says more.
    seed: what the order of rows within a split and the sampling follow from, and nothing else. sample: the share of the
    rows to keep; a row is kept or not by its own values and the seed, whatever other rows there are. as_served: join
    what was known at each row's moment, instead of values as corrected since. checks: what may be found in it before
    nothing is learned from it. tags: of those that owners.yaml lists, and its clearance for personal data.
    """

    name: str = Field(pattern=f"^{NAME}$")
    description: str = ""
    owner: str = ""
    tags: dict[str, str] = Field(default_factory=dict)
    feature_service: str
    spine: SpineConfig
    label: LabelConfig | None = None
    split: SplitConfig | None = None
    seed: StrictInt = 0
    sample: Annotated[float | None, BeforeValidator(_refuse_boolean)] = Field(None, gt=0, le=1)
    as_served: StrictBool = False
    full_feature_names: StrictBool = False
    checks: ChecksConfig = ChecksConfig()

    @model_validator(mode="after")
    def _split_with_a_label(self) -> DatasetConfig:
        if self.label is not None and self.split is None:
            raise ValueError("split is missing: a label is learned on one part of time and judged on another")
        return self

    def instant(self, moment: datetime | date) -> datetime:
        """A moment of this configuration in UTC: a date is the start of that day in the split's zone."""
        return (self.split or SplitConfig(train=moment)).instant(moment)


def read_config(path: Path) -> DatasetConfig:
    """The configuration in a YAML file; `name` is by default the file's own.

    UsageError that names the file, the key and the remedy, one line for each fault.
    """
    try:
        document = read_yaml(path)
    except ContractError as error:
        raise UsageError(str(error)) from None
    if not isinstance(document, Mapping):
        raise UsageError(
            f"{shown_path(path)} holds no keys. A dataset needs {', '.join(_required_keys(DatasetConfig))}{_TRAINING}."
        )
    try:
        config = DatasetConfig.model_validate({"name": path.stem, **document})
    except ValidationError as error:
        raise UsageError("\n".join(_complaint_texts(path, error))) from None
    if naive := list(_without_offset(config)):
        raise UsageError(
            "\n".join(f"{shown_path(path)}:{line_of(text_of(path), place)}: {said}" for place, said in naive)
        )
    return config


def _without_offset(config: DatasetConfig) -> Iterator[tuple[tuple[str, str], str]]:
    """The moments of which nobody can say when they are, with what is said of each."""
    given = {("split", name): getattr(config.split, name) for name in (*SPLITS, "end")} if config.split else {}
    if config.label is not None:
        given["label", "known_until"] = config.label.known_until
    for place, moment in given.items():
        if isinstance(moment, datetime) and moment.tzinfo is None:
            example = f"{moment.isoformat()}-05:00"
            key = ".".join(place)
            yield place, f"{key}: {moment} has no offset. Write it with one, such as {example}, or a day alone."


def _complaint_texts(path: Path, error: ValidationError) -> Iterator[str]:
    text = text_of(path)
    for problem in error.errors():
        place = [str(part) for part in problem["loc"] if part not in ("date", "datetime")]
        key = ".".join(place) or "the file"
        said = str(problem["msg"]).removeprefix("Value error, ").removeprefix("Input ")
        where = f"{shown_path(path)}:{line_of(text, problem['loc'])}"
        match problem["type"]:
            case "extra_forbidden":
                known = _model_at(place[:-1]).model_fields
                yield f"{where}: there is no key {key}; {nearest(place[-1], known)}."
            case "missing":
                yield f"{where}: {key} is missing. {_meaning_of(place)}"
            case _:
                yield f"{where}: {key}: {said}."


def _required_keys(model: type[BaseModel]) -> list[str]:
    return [name for name, field in model.model_fields.items() if field.is_required() and name != "name"]


def _model_at(place: list[str]) -> type[BaseModel]:
    model: type[BaseModel] = DatasetConfig
    for key in place:
        annotation = model.model_fields[key].annotation
        model = next(part for part in (annotation, *get_args(annotation)) if _is_model(part))
    return model


def _is_model(part: object) -> TypeGuard[type[BaseModel]]:
    return isinstance(part, type) and issubclass(part, BaseModel)


def _meaning_of(place: list[str]) -> str:
    text = (_model_at(place[:-1]).__doc__ or "").strip().splitlines()[0]
    return (
        f"Its part: {text}"
        if len(place) > 1
        else f"A dataset needs {', '.join(_required_keys(DatasetConfig))}{_TRAINING}."
    )
