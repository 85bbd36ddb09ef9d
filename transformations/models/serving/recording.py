"""The record of a worker's predictions: written before the answer is sent."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from transformations.engine.base import storage
from transformations.engine.base.settings import Settings


class Recorder:
    """Appends lines of records to a file of this process, a file a model."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._files: dict[str, BinaryIO] = {}

    def append(self, model: str, lines: Sequence[bytes]) -> None:
        """Write the lines of one model; they are with the system when this returns."""
        self._file(model).write(b"".join(lines))

    def close(self) -> None:
        """Close the files."""
        while self._files:
            self._files.popitem()[1].close()

    def _file(self, model: str) -> BinaryIO:
        if model not in self._files:
            folder = self._settings.predictions_dir / model / "segments"
            storage.make_folder(folder)
            self._files[model] = _open(folder / f"{int(time.time() * 1000)}-{os.getpid()}.jsonl")
        return self._files[model]


def _open(path: Path) -> BinaryIO:
    return path.open("ab", buffering=0)
