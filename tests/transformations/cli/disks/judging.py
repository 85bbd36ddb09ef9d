"""What a command may do on a damaged disk: give the right value, or refuse in one message with path and remedy.

Right is what the same command gives on the undamaged project. A few cells of the matrix are expected to give something
else, and say so by the words that stand here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase

from tests.transformations.cli.disks.commands import WRITERS, Ended

SLOW_SECONDS = 60.0
_REMEDY = re.compile(
    r"\b(add|apply|bring|build|change|check|correct|declare|delete|free|give|has to be|ingest|known|make|mend|mount|"
    r"move|must be|name|needs|rebuild|remove|repeat|run|save|set|touch|train|write)\b|`features |did you mean",
    re.IGNORECASE,
)
_TRACE, _FAULT = "Traceback (most recent call last)", "fault of the platform"
# Their words differ from run to run; what counts is how they end, and what is read after them.
_BY_CODE = {*WRITERS, "feast plan", "docs"}


@dataclass(frozen=True)
class Trial:
    """One cell of the matrix: a file or folder, relative to the project, what was done to it, and the command."""

    place: str
    damage: str
    command: str

    def __str__(self) -> str:
        return f"{self.place} × {self.damage} × {self.command}"


@dataclass(frozen=True)
class Expected:
    """Cells that give another result than the undamaged project, and the words that say so; patterns as of a shell."""

    places: str
    damages: str
    commands: tuple[str, ...]
    words: str = ""

    def fits(self, trial: Trial) -> bool:
        names = any(fnmatchcase(trial.command, pattern) for pattern in self.commands)
        damages = any(fnmatchcase(trial.damage, pattern) for pattern in self.damages.split("|"))
        return names and damages and any(fnmatchcase(trial.place, pattern) for pattern in self.places.split("|"))


_GONE = "deleted|renamed"
OTHERWISE = (
    # Checksums are a second copy: without them files are read whole instead.
    Expected("data/*/SHA256SUMS", "*", ("doctor deep",), "no checksum recorded of "),
    # What an older version carried over is read by nobody any more.
    Expected("data/offline/*/carry=*", "*", ("doctor deep", "vacuum dry run"), "user_clicks"),
    # A table that somebody moved away, as the remedies say, is one that is not built yet.
    Expected("data|data/offline|data/offline/user_clicks", _GONE, ("status", "show", "runs"), "built"),
    Expected("data|data/offline|data/offline/user_clicks", _GONE, ("explain",), "nothing has been built in"),
    Expected("data|data/raw|data/raw/clicks", _GONE, ("status",), "source missing"),
    Expected("data|data/raw*|data/offline*|data/datasets*", _GONE, ("vacuum dry run",)),
    Expected(
        "data|data/raw*|data/offline*",
        _GONE,
        ("quarantine", "explain", "preview", "build", "dataset *", "expect", "training by sql"),
        "features ",
    ),
    Expected("data|data/datasets*", _GONE, ("dataset *",), "dataset"),
    Expected("data/datasets/reading", _GONE, ("dataset list",), "returns_2020"),
    # MLflow's database is a copy: the log of versions is in the registry.
    Expected("data/mlflow*", "*", ("doctor deep",), "MLflow"),
    # What a manifest no longer says, vacuum cannot complete; `doctor --deep` tells that it is damaged.
    Expected("data/datasets/*/manifest.json", "*", ("vacuum dry run",), "offline"),
    Expected("data/datasets/reading", "renamed", ("doctor deep",), "reading: it is registered"),
    # Without a registry nothing is applied yet.
    Expected("data|data/registry.db", _GONE, ("*",), ""),
    # What the repository does not declare is not offered.
    Expected("feature_repo/datasets/*", "*", ("lineage",)),
    Expected("feature_repo/*.py|domains/*", "*", ("*",)),
    Expected("expectations*", _GONE, ("check", "show", "diff", "docs", "expect", "build")),
    Expected("contracts*", _GONE, ("*",), "clicks"),
    Expected("feature_repo/datasets/*|feature_repo/models/*", "*", ("check", "diff", "docs")),
    # Feast reads its file before it loads anything of ours.
    Expected(
        "feature_repo|feature_repo/feature_store.yaml",
        "*",
        ("feast *", "apply", "training*", "saved dataset", "lookup", "materialize"),
    ),
)
"""None of them may fail as a fault of the platform all the same."""

_DATASETS = ("dataset show", "dataset verify", "dataset check", "saved dataset")
_MODELS = ("model list", "model show", "model show version")
_OFFLINE = ("preview", "contract check", "ingest")
UNTOUCHED = {
    "data/datasets/": (
        "status",
        "preview",
        "training",
        "lookup",
        "parity",
        "ingest",
        "build",
        "materialize",
    ),
    "data/models/": ("status", "preview", "training", "lookup", "parity", "ingest", "build", "materialize", *_DATASETS),
    "data/mlflow/": ("status", "preview", "training", "lookup", "parity", "ingest", "build", "materialize", *_DATASETS),
    "data/predictions/": (
        *("status", "preview", "training", "lookup", "parity", "ingest", "build", "materialize", "compact"),
        *(*_DATASETS, *_MODELS),
    ),
    "data/lineage/": ("status", "preview", "training", "lookup", "parity", "materialize", *_DATASETS, *_MODELS),
    "data/offline/": (*_OFFLINE, *_DATASETS, *_MODELS, "lookup"),
    "data/raw/": ("training", "lookup", *_DATASETS, *_MODELS, "materialize"),
    "data/registry.db": (*_OFFLINE, "runs", "dataset show", "dataset verify"),
    "expectations/": ("training", "lookup", "status", "materialize", "ingest", *_DATASETS, *_MODELS),
}
"""By the start of a place: what has nothing to do with it, and must give the right value whatever happens to it."""


def complaint(trial: Trial, ended: Ended, right: Ended) -> str | None:
    """What is wrong with how a command ended; None where it gave the right value or refused as it should."""
    said = ended.output + ended.errors
    if ended.seconds > SLOW_SECONDS:
        return f"took {ended.seconds:.0f} s"
    is_right = ended.code == right.code and (trial.command in _BY_CODE or ended.output == right.output)
    is_otherwise = any(each.fits(trial) and each.words in said for each in OTHERWISE)
    if is_right:
        return None
    if _FAULT in said or (_TRACE in said and not is_otherwise):
        return f"ended as a fault: {said[-600:]}"
    if any(trial.place.startswith(start) and trial.command in names for start, names in UNTOUCHED.items()):
        return f"should not have noticed, and gave {said[-600:]}"
    if is_otherwise:
        return None
    if ended.code not in ((3, 4) if trial.place.startswith("data") else (2, 3, 4)):
        return f"ended with {ended.code} and another result: {said[-600:]}"
    if not _names_place(said, trial.place):
        return f"names no path: {said[-600:]}"
    return None if _REMEDY.search(said) else f"names no remedy: {said[-600:]}"


def _names_place(said: str, place: str) -> bool:
    """Whether a message names the place, a folder that it is in, or a file below it."""
    wanted = f"PROJECT/{place}"
    named = [path.rstrip(".:,;)`'\"") for path in re.findall(r"PROJECT/[^\s,;:`'\"()]+", said)]
    is_near = any(wanted.startswith(path) or path.startswith(wanted) for path in named)
    return is_near or place.rpartition("/")[2] in said
