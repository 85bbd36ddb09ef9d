"""The demo's files as deliveries: in a folder where contracts expect them, for runs that take what comes in."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from transformations.contracts import contract_names
from transformations.engine.base.settings import Settings
from transformations.engine.base.storage import make_file, make_folder, replace_text

FOLDER = "deliveries"


def deliver(files: Mapping[str, Path], settings: Settings) -> Path:
    """Copy files to `deliveries` in the data folder, by source; the folder of contracts that say so.

    Those contracts are the project's own, with a server each; FEATURES_CONTRACTS makes a command read them. What was
    delivered before stays as it is.
    """
    folder = settings.data / FOLDER
    contracts = folder / "contracts"
    make_folder(contracts)
    for file in files.values():
        target = folder / file.name
        if not target.exists():
            draft = target.with_suffix(".tmp")
            shutil.copyfile(file, make_file(draft))
            draft.replace(target)
    for name in contract_names(settings.contracts):
        text = (settings.contracts / f"{name}.yaml").read_text(encoding="utf-8")
        if name in files and "\nservers:" not in text:
            server = f"{{server: drop, type: local, path: '{folder / files[name].name}', format: parquet}}"
            text = text.replace("\nschema:", f"\nservers:\n  - {server}\nschema:", 1)
        replace_text(contracts / f"{name}.yaml", text)
    return contracts
