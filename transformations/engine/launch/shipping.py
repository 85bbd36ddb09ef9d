"""Our packages as one archive, for machines that do not have them installed: a cluster runs the code of its driver."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from importlib import import_module
from io import BytesIO
from pathlib import Path
from uuid import uuid4
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from transformations.engine.base.storage import make_folder

PACKAGES = ("transformations", "validation")


def zipped_packages(folder: Path) -> Path:
    """Write our packages as they are now into an archive that Python can import from; it is named by its content."""
    content = BytesIO()
    with ZipFile(content, "w", ZIP_DEFLATED) as archive:
        for name, file in sorted(_packaged_files().items()):
            archive.writestr(ZipInfo(name), file.read_bytes(), ZIP_DEFLATED)
    path = folder / f"features-{hashlib.sha256(content.getvalue()).hexdigest()[:16]}.zip"
    if not path.exists():
        make_folder(folder)
        draft = folder / f".{uuid4().hex}"
        draft.write_bytes(content.getvalue())
        draft.rename(path)
    return path


def _packaged_files() -> dict[str, Path]:
    """Every file of the packages, by its name in the archive; if a package has two folders, the first counts."""
    found: dict[str, Path] = {}
    for package in PACKAGES:
        for root in _package_folders(package):
            for file in root.rglob("*"):
                if file.is_file() and "__pycache__" not in file.parts:
                    found.setdefault(f"{package}/{file.relative_to(root).as_posix()}", file)
    return found


def _package_folders(package: str) -> Iterator[Path]:
    return map(Path, import_module(package).__path__)
