"""Paths in the data folder as the registry and manifests store them: `$FEATURES_DATA/offline/user_visits`.

Such a path stays valid when the data folder is moved or copied. Readers resolve it here.
"""

from pathlib import Path, PurePosixPath

from transformations.engine.base.settings import Settings

DATA = "$FEATURES_DATA"


def portable_path(path: Path, settings: Settings) -> str:
    """A path in the data folder relative to it; any other path unchanged."""
    if not path.is_relative_to(settings.data):
        return str(path)
    return (PurePosixPath(DATA) / path.relative_to(settings.data).as_posix()).as_posix()


def resolve_path(text: str, settings: Settings) -> str:
    """The path behind a stored one; any other text unchanged."""
    if text != DATA and not text.startswith(f"{DATA}/"):
        return text
    return str(settings.data) + text[len(DATA) :]
