"""Running the model server: one process that answers, or several that share a port."""

from __future__ import annotations

import atexit
import gc
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from transformations.models.log.event_log import EventLog
from transformations.models.serving.api.app import create_app
from transformations.models.versions import standing
from transformations.stores.server.heads import bound_heads
from transformations.stores.server.leaving import leave_gently

_GRACE_SECONDS = 30
"""How long a server that is told to end works on what it has begun."""


def run(names: Sequence[str], repository: Path, log: EventLog, *, host: str, port: int, workers: int) -> None:
    """Answer for these models until told to end, by SIGTERM or SIGINT, which is no failure: what has begun is answered,
    then the process ends with 0. UsageError for a model that was never trained.
    """
    for name in names:
        standing(name, log)
    os.environ["FEATURES_PREDICT_MODELS"] = ",".join(dict.fromkeys(names))
    os.environ["FEATURE_REPO_DIR_ENV_VAR"] = str(repository)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # uvicorn raises it once more when all is done
    uvicorn.run(
        "transformations.models.serving.api.running:worker_app",
        factory=True,
        host=host,
        port=port,
        workers=workers,
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )


def worker_app() -> FastAPI:
    """The app of one process. A worker ends, as if it was told to, when the process that started it is gone: killed,
    that process can tell nobody, and its workers would keep the port for ever.
    """
    if (parent := multiprocessing.parent_process()) is not None:

        def end_with_it() -> None:
            parent.join()
            os.kill(os.getpid(), signal.SIGTERM)

        threading.Thread(target=end_with_it, name="ends with its parent", daemon=True).start()
    leave_gently()
    bound_heads()
    app = create_app()
    gc.collect()
    gc.freeze()  # what is imported by now stays: no collection during requests need look through it again
    atexit.register(gc.unfreeze)  # else DuckDB's binding takes what was kept for leaks, and prints them
    return app
