"""The datasets and models that the feature repository declares as YAML, and what is wrong with those it cannot read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from transformations.datasets.config import DatasetConfig, read_config
from transformations.engine.base.disk_faults import paths_in
from transformations.engine.base.errors import UsageError
from transformations.engine.base.settings import Settings
from transformations.insight.repository import repository_folder
from transformations.models.declaration.config import Declaration
from transformations.models.declaration.reading import FOLDER, read_declaration, refuse_unfit_dataset
from transformations.stores.training.spine_sql import names_in

Read = TypeVar("Read")


@dataclass(frozen=True)
class Declared:
    """What could be read. faults: by place (`dataset reading`, `model reader`), what is wrong with the rest."""

    datasets: Sequence[DatasetConfig] = ()
    models: Sequence[Declaration] = ()
    faults: Mapping[str, str] = field(default_factory=dict)


def read_all_declared(settings: Settings) -> Declared:
    """Read `datasets/*.yaml` and `models/*.yaml` of the feature repository."""
    repository = repository_folder(settings)
    faults: dict[str, str] = {}
    datasets = _read_files(repository / "datasets", "dataset", _read_dataset, faults)

    def read_model(path: Path) -> Declaration:
        model = read_declaration(path)
        for dataset in datasets:
            if dataset.name == model.dataset:
                refuse_unfit_dataset(path, dataset)
        return model

    return Declared(datasets, _read_files(repository / FOLDER, "model", read_model, faults), faults)


def _read_files(folder: Path, kind: str, read: Callable[[Path], Read], faults: dict[str, str]) -> list[Read]:
    found = []
    for path in paths_in(folder, "*.yaml"):
        try:
            found.append(read(path))
        except UsageError as error:
            faults[f"{kind} {path.stem}"] = str(error)
    return found


def _read_dataset(path: Path) -> DatasetConfig:
    config = read_config(path)
    if config.spine.query is not None:
        names_in(config.spine.query)
    return config
