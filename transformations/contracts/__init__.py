"""Data contracts: one YAML file a source, in the Open Data Contract Standard v3.1, and their reader.

The reader imports nothing else of this project, so that everything else may import it.
"""

import os
from functools import lru_cache
from pathlib import Path

from transformations.contracts.model import (
    DTYPES,
    EVENT_YEARS,
    PII_CLASSES,
    Column,
    Contract,
    ContractError,
    CsvDialect,
    Delivery,
    FileForm,
    Reference,
)
from transformations.contracts.texts import nearest

__all__ = [
    "DTYPES",
    "EVENT_YEARS",
    "PII_CLASSES",
    "Column",
    "Contract",
    "ContractError",
    "CsvDialect",
    "Delivery",
    "FileForm",
    "Reference",
    "contract_names",
    "read_contract",
]

FOLDER = Path(__file__).parents[2] / "validation" / "contracts"


def read_contract(name: str, folder: Path | None = None) -> Contract:
    """The contract of a source, from `<folder>/<name>.yaml`; read again only when the file has changed."""
    path = (folder or FOLDER) / f"{name}.yaml"
    try:
        modified = path.stat().st_mtime_ns
    except (FileNotFoundError, NotADirectoryError):
        raise ContractError(
            f"{path.parent}: no contract for a source {name!r}; {nearest(name, contract_names(folder))}. "
            f"Write its first version with `features contract draft FILE --name {name} --write`."
        ) from None
    except OSError as error:
        raise ContractError(f"{path} cannot be read: {error.strerror}. Give this user the right (`ls -ld`).") from None
    return _read_contract_file(path, modified)


def contract_names(folder: Path | None = None) -> tuple[str, ...]:
    """The sources that have a contract, in alphabetical order."""
    where = folder or FOLDER
    try:
        names = os.listdir(where)  # noqa: PTH208  # `Path.glob` takes a folder that may not be read for an empty one
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise ContractError(
            f"{where} cannot be read: {error.strerror}. It must be a folder that this user may read; "
            f"FEATURES_CONTRACTS names it."
        ) from None
    return tuple(sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml")))


@lru_cache(maxsize=256)
def _read_contract_file(path: Path, _modified: int) -> Contract:
    from transformations.contracts.odcs import contract_of_file

    return contract_of_file(path)
