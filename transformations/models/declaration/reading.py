"""Reading declarations: checked whole, every fault named with file, line, key and remedy, before anything runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from transformations.contracts import ContractError
from transformations.contracts.document import line_of, read_yaml, shown_path, text_of
from transformations.datasets.config import SPLITS, DatasetConfig, read_config
from transformations.engine.base.disk_faults import paths_in
from transformations.engine.base.errors import UsageError, nearest
from transformations.models.declaration.config import Declaration
from transformations.models.trainers.interface import trainer_of

FOLDER = "models"
"""Where declarations are, below the feature repository."""


def model_names(repository: Path) -> list[str]:
    """The models that a feature repository declares."""
    return [file.stem for file in paths_in(repository / FOLDER, "*.yaml")]


def read_declared(repository: Path, name: str) -> Declaration:
    """The declaration of a model, with the configuration of its dataset held beside it."""
    names = model_names(repository)
    if not names:
        raise UsageError(
            f"{repository.name}/{FOLDER}/ declares no model yet. Declare {name!r} in {FOLDER}/{name}.yaml "
            f"(docs/models.md)."
        )
    if name not in names:
        raise UsageError(f"{repository.name}/{FOLDER}/ declares no model {name!r}: {nearest(name, names)}.")
    path = repository / FOLDER / f"{name}.yaml"
    declaration = read_declaration(path)
    config = repository / "datasets" / f"{declaration.dataset}.yaml"
    if config.is_file():
        refuse_unfit_dataset(path, read_config(config))
    return declaration


def refuse_unfit_dataset(path: Path, config: DatasetConfig) -> None:
    """UsageError where nothing can be learned from the dataset that a declaration names; path: of the declaration."""
    _refuse(list(_faults_of_dataset(shown_path(path), text_of(path), config)))


def read_declaration(path: Path) -> Declaration:
    """The declaration in a YAML file; its `name` is the file's. UsageError with a line for each fault."""
    shown = shown_path(path)
    try:
        document = read_yaml(path)
        text = text_of(path)
    except ContractError as error:
        raise UsageError(str(error)) from None
    if not isinstance(document, Mapping):
        required = [name for name, field in Declaration.model_fields.items() if field.is_required() and name != "name"]
        raise UsageError(f"{shown}: holds no keys. A model needs {', '.join(required)}.")
    try:
        declaration = Declaration.model_validate({**document, "name": document.get("name", path.stem)})
    except ValidationError as error:
        raise UsageError("\n".join(complaints(shown, text, error, Declaration, document))) from None
    if declaration.name != path.stem:
        raise UsageError(f"{shown}:{line_of(text, ['name'])}: name: {declaration.name!r} is not the file's name.")
    _refuse(list(_faults_of_trainer(shown, text, declaration)))
    return declaration


def settings_of(declaration: Declaration) -> BaseModel:
    """The hyperparameters, as the trainer takes them."""
    return trainer_of(declaration.trainer).settings.model_validate(declaration.hyperparameters)


def _faults_of_trainer(name: str, text: str, declaration: Declaration) -> Iterator[str]:
    try:
        trainer = trainer_of(declaration.trainer)
    except UsageError as error:
        yield f"{name}:{line_of(text, ['trainer'])}: trainer: {error.message}"
        return
    if declaration.task not in trainer.tasks:
        yield (
            f"{name}:{line_of(text, ['trainer'])}: trainer: {trainer.name} is for {' and '.join(trainer.tasks)}, and "
            f"this is a {declaration.task}."
        )
    try:
        trainer.settings.model_validate(declaration.hyperparameters)
    except ValidationError as error:
        yield from complaints(name, text, error, trainer.settings, declaration.hyperparameters, ["hyperparameters"])
        return
    yield from _faults_of_tuning(name, text, declaration)


def _faults_of_tuning(name: str, text: str, declaration: Declaration) -> Iterator[str]:
    """The hyperparameters of the space that the trainer does not have, and ends that it does not take."""
    if declaration.tuning is None:
        return
    settings = trainer_of(declaration.trainer).settings
    for key, span in declaration.tuning.space.items():
        where = f"{name}:{line_of(text, ['tuning', 'space', key])}: tuning.space.{key}"
        if key not in settings.model_fields:
            yield f"{where}: {declaration.trainer} has no such hyperparameter; {nearest(key, settings.model_fields)}."
            continue
        for value in span.ends:
            try:
                settings.model_validate({**declaration.hyperparameters, key: value})
            except ValidationError as error:
                yield f"{where}: {value!r}: {str(error.errors()[0]['msg']).removeprefix('Input ')}."


def _faults_of_dataset(name: str, text: str, config: DatasetConfig) -> Iterator[str]:
    where = f"{name}:{line_of(text, ['dataset'])}: dataset"
    if config.label is None:
        yield f"{where}: {config.name} has no label, so nothing can be learned from it."
    missing = [split for split in SPLITS if config.split is None or getattr(config.split, split) is None]
    if missing:
        yield f"{where}: {config.name} has no split {' and '.join(missing)}; a model needs {', '.join(SPLITS)}."


def _refuse(faults: Sequence[str]) -> None:
    if faults:
        raise UsageError("\n".join(faults))


def complaints(
    name: str,
    text: str,
    error: ValidationError,
    model: type[BaseModel],
    document: Mapping[Any, Any],
    above: Sequence[str] = (),
) -> Iterator[str]:
    """What is wrong with a YAML file, a line a fault: file, line, key and, of an unknown one, the nearest word.

    model: the form that the document should have. above: the keys above the document within the file.
    """
    for problem in error.errors():
        place = [*above, *_written(problem["loc"], document, is_missing=problem["type"] == "missing")]
        key = ".".join(str(part) for part in place) or "the file"
        said = str(problem["msg"]).removeprefix("Value error, ").removeprefix("Input ")
        where = f"{name}:{line_of(text, place)}"
        known = _fields(model, problem["loc"][:-1])
        if problem["type"] == "extra_forbidden":
            yield f"{where}: there is no key {key}; {nearest(str(place[-1]), known)}."
        elif problem["type"] == "missing":
            yield f"{where}: {key} is missing."
        else:
            yield f"{where}: {key}: {said}."


def _written(place: Sequence[str | int], document: Any, *, is_missing: bool) -> Iterator[str | int]:
    """The steps of a place that a document has: not pydantic's names of a union's members, which stand among them."""
    for number, step in enumerate(place, start=1):
        steps = (
            range(len(document)) if isinstance(document, list) else document if isinstance(document, Mapping) else ()
        )
        if step in steps:
            document = document[step]
        elif not (is_missing and number == len(place)):
            continue
        yield step


def _fields(model: type[BaseModel], place: Sequence[str | int]) -> set[str]:
    """The keys that a part of a form may have."""
    models = {model}
    for step in place:
        fields = [each.model_fields[str(step)] for each in models if str(step) in each.model_fields]
        if fields:
            models = {found for field in fields for found in _models(field.annotation)}
    return {name for each in models for name in each.model_fields}


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The forms within an annotation: of a list, a mapping, a union."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)
