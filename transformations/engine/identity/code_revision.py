"""The code that computes something: the git revision of the checkout, or the installed version."""

import subprocess
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


@lru_cache(maxsize=1)
def code_revision() -> str:
    """The commit of the running code, with `+changes` if files differ from it; without git, the package's version."""
    checkout = Path(__file__).resolve().parents[3]
    try:
        revision = _git(checkout, "rev-parse", "--short=12", "HEAD")
        return revision + ("+changes" if _git(checkout, "status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        pass
    try:
        return version("feature-platform")
    except PackageNotFoundError:
        return "unknown"


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=10).stdout.strip()
