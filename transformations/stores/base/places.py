"""Paths of the data folder as the registry and manifests hold them: `$FEATURES_DATA/offline/user_visits`.

Such a path holds wherever the data folder is moved or copied to. Whoever reads one resolves it here.
"""

from pathlib import Path, PurePosixPath

from transformations.engine.base.settings import Settings

DATA = "$FEATURES_DATA"


def portable(path: Path, settings: Settings) -> str:
    """The path relative to the data folder where it lies in it, else as it is."""
    if not path.is_relative_to(settings.data):
        return str(path)
    return (PurePosixPath(DATA) / path.relative_to(settings.data).as_posix()).as_posix()


def resolved(text: str, settings: Settings) -> str:
    """The path that such a text means here; any other text as it is."""
    if text != DATA and not text.startswith(f"{DATA}/"):
        return text
    return str(settings.data) + text[len(DATA) :]
