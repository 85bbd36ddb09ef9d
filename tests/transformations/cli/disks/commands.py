"""Every command of the platform and of Feast that touches a project's files, run in this process on a copy."""

from __future__ import annotations

import os
import re
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from tests.transformations.cli.disks.project import NOW

READERS = {
    "doctor deep": "doctor --deep",
    "status": "status",
    "show": "show user_clicks",
    "explain": "explain user_clicks:clicks_count_7d 1 --at 2024-05-05",
    "preview": "preview user_clicks 1 --at 2024-05-05",
    "runs": "runs user_clicks",
    "check": "check",
    "lineage": "lineage user_clicks:clicks_count_7d",
    "docs": "docs --out {project}/docs",
    "diff": "diff",
    "parity": "parity",
    "contract show": "contract show clicks",
    "contract check": "contract check clicks {project}/later.csv",
    "dataset list": "dataset list",
    "dataset show": "dataset show reading",
    "dataset verify": "dataset verify reading",
    "dataset check": "dataset check reading",
    "dataset dry run": "dataset create {project}/feature_repo/datasets/another.yaml --dry-run",
    "model list": "model list",
    "model show": "model show user_return",
    "model show version": "model show user_return 1",
    "quarantine": "quarantine clicks",
    "vacuum dry run": "vacuum --dry-run --keep-versions 1 --older-than 0",
    "feast plan": "feast plan",
    "feast views": "feast feature-views list",
    "training": "python training",
    "training by sql": "python training_by_sql",
    "saved dataset": "python saved_dataset",
    "lookup": "python lookup",
}
WRITERS = {
    "ingest": "ingest clicks {project}/later.csv --complete-through 2024-05-12",
    "build": "build",
    "materialize": "python materialize",
    "apply": "feast apply",
    "dataset create": "dataset create {project}/feature_repo/datasets/another.yaml",
    "dataset rebuild": "dataset rebuild reading",
    "dataset delete": "dataset delete reading",
    "vacuum": "vacuum --keep-versions 1 --older-than 0 --yes",
    "model train": "model train user_return",
    "expect": "expect",
    "compact": "compact user_clicks",
    "predictions collect": "predictions collect",
}


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code, what it said on both streams, and after how many seconds."""

    code: int
    output: str
    errors: str
    seconds: float


def use(project: Path, redis_url: str) -> None:
    """Set the environment of this process to the project in this folder, as a new process would have it."""
    import transformations
    from tests.worlds.clicking import forget_domain
    from transformations.engine.base.settings import get_settings

    for name in [name for name in os.environ if name.startswith("FEATURES_")]:
        del os.environ[name]
    os.environ |= {
        "FEATURES_DATA": str(project / "data"),
        "FEATURES_CONTRACTS": str(project / "contracts"),
        "FEATURES_EXPECTATIONS": str(project / "expectations"),
        "FEATURE_REPO_DIR_ENV_VAR": str(project / "feature_repo"),
        "FEATURES_CLOCK": NOW,
        "FEATURES_REDIS_URL": redis_url,
        "FEATURES_REDIS_READ_TIMEOUT_MS": "10000",
        "FEATURES_SPARK_MASTER": "local[1]",
        "FEATURES_SPARK_DRIVER_MEMORY": "512m",
        "COLUMNS": "300",
    }
    os.environ.pop("FEATURES_DEBUG", None)
    if store := sys.modules.get("mlflow.store.tracking.sqlalchemy_store"):
        for engine in store.SqlAlchemyStore._engine_map.values():  # connected to the file of an earlier copy
            engine.dispose()
    os.chdir("/")
    sys.dont_write_bytecode = True
    forget_domain()
    get_settings.cache_clear()
    own = [path for path in transformations.__path__ if not path.endswith("/domains")]
    transformations.__path__ = [*own, str(project / "domains")]


def run(command: str, project: Path) -> Ended:
    """Run a command of the tables above, as the console does."""
    words = command.format(project=project).split()
    with _captured() as texts:
        began = time.monotonic()
        try:
            code = _KINDS.get(words[0], _features)(words, project)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        except BaseException:
            traceback.print_exc()
            code = 1
        seconds = time.monotonic() - began
        output, errors = texts()
    return Ended(code, _plain(output, project), _plain(errors, project), seconds)


def _features(words: list[str], _: Path) -> int:
    from transformations.cli import main

    return main.run(words)


def _feast(words: list[str], project: Path) -> int:
    """As `feast -c feature_repo …`, whose command line shows errors of ours and lets others through as a trace."""
    from feast.cli.cli import cli

    sys.argv, sys.excepthook = ["feast", *words[1:]], sys.__excepthook__
    try:
        cli(["-c", str(project / "feature_repo"), *words[1:]], prog_name="feast")
    except Exception:
        sys.excepthook(*cast("Any", sys.exc_info()))  # ours, once the repository's configuration is read
        return 1
    return 0


def _python(words: list[str], _: Path) -> int:
    """As a notebook: an error of ours counts as refused, any other is a trace."""
    import click

    try:
        print(_PROGRAMS[words[1]]())
    except click.ClickException as error:
        print(f"Error: {error.format_message()}", file=sys.stderr)
        return error.exit_code
    return 0


def _training() -> str:
    import pandas as pd

    moments = pd.to_datetime(["2024-05-02T12:00Z", "2024-05-05T12:00Z", "2024-05-11T12:00Z", "2024-05-14T12:00Z"])
    return _rows(pd.DataFrame({"user_id": [1, 1, 2, 2], "event_timestamp": moments}))


def _rows(spine: object) -> str:
    from transformations.engine.base.settings import get_settings
    from transformations.insight.repository import open_store

    store = open_store(get_settings())
    features = [
        f"user_clicks:{name}" for name in ("clicks_count_7d", "attention_seconds_sum_7d", "click_at_last_lifetime")
    ]
    return str(store.get_historical_features(spine, features).to_arrow().to_pylist())


def _training_by_sql() -> str:
    return _rows("SELECT user_id, clicked_at + INTERVAL 1 DAY AS event_timestamp FROM raw.clicks ORDER BY ALL")


def _saved_dataset() -> str:
    from transformations.engine.base.settings import get_settings
    from transformations.insight.repository import open_store

    return str(open_store(get_settings()).get_saved_dataset("reading").to_df().to_dict("records"))


def _lookup() -> str:
    from transformations.engine.base.settings import get_settings
    from transformations.insight.repository import open_store

    store = open_store(get_settings())
    found = store.get_online_features(["user_clicks:clicks_count_7d"], [{"user_id": user} for user in (1, 2, 3)])
    return str(found.to_dict())


def _materialize() -> str:
    from datetime import UTC, datetime

    from transformations.engine.base.settings import get_settings
    from transformations.insight.repository import open_store

    open_store(get_settings()).materialize(datetime(1970, 1, 1, tzinfo=UTC), datetime.fromisoformat(NOW))
    return ""


_KINDS: dict[str, Callable[[list[str], Path], int]] = {"feast": _feast, "python": _python}
_PROGRAMS: dict[str, Callable[[], str]] = {
    "training": _training,
    "training_by_sql": _training_by_sql,
    "saved_dataset": _saved_dataset,
    "lookup": _lookup,
    "materialize": _materialize,
}


@contextmanager
def _captured() -> Iterator[Callable[[], list[str]]]:
    """What this process writes on its two streams, by whatever library; through pipes, which fit on a full disk."""
    pipes, kept, streams = (
        [os.pipe() for _ in range(2)],
        [os.dup(number) for number in (1, 2)],
        (sys.stdout, sys.stderr),
    )
    texts: list[list[bytes]] = [[], []]
    readers = [
        threading.Thread(target=_drain, args=(reading, into), daemon=True)
        for (reading, _), into in zip(pipes, texts, strict=True)
    ]
    for number, (_, writing) in zip((1, 2), pipes, strict=True):
        os.dup2(writing, number)
        os.close(writing)
    for reader in readers:
        reader.start()
    sys.stdout, sys.stderr = (os.fdopen(os.dup(number), "w") for number in (1, 2))

    def texts_so_far() -> list[str]:
        sys.stdout.close()
        sys.stderr.close()
        sys.stdout, sys.stderr = streams
        for number, descriptor in zip((1, 2), kept, strict=True):
            os.dup2(descriptor, number)
            os.close(descriptor)
        for reader in readers:
            reader.join(5)
        return [b"".join(parts).decode(errors="replace") for parts in texts]

    yield texts_so_far


def _drain(descriptor: int, into: list[bytes]) -> None:
    with os.fdopen(descriptor, "rb", buffering=0) as stream:
        while part := stream.read(65_536):
            into.append(part)


def _plain(text: str, project: Path) -> str:
    text = re.sub(r"\x1b\[[0-9;]*m", "", text.replace(str(project), "PROJECT"))
    text = re.sub(r"\b[\d.,]+ (KiB|MiB|GiB|TiB) free", "… free", text)
    return re.sub(r"\b\d+(\.\d+)? ?(ms|s|seconds)\b", "… s", text)
