"""Our part of `feast serve`, which a repository takes on by Feast's hook for code of its own.

Feast's server calls `load_artifacts(app)` of the repository's `static_artifacts.py` as it starts
(feature_server.py:331). With these lines there, every `feast serve` of the repository is ours:

    from pathlib import Path

    from transformations.stores.serving import server_of

    load_artifacts = server_of(Path(__file__).parent)
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from fastapi import FastAPI
from feast import FeatureStore
from starlette.middleware import Middleware

from transformations.engine.base.errors import FeaturesError
from transformations.engine.base.settings import get_settings
from transformations.stores.base.feast_seams import has_vector_search, serving_store
from transformations.stores.server.answers import refuse_in_our_form
from transformations.stores.server.front import Answers, Front, Gate
from transformations.stores.server.heads import bound_heads
from transformations.stores.server.leaving import leave_gently
from transformations.stores.server.routes import routes_of
from transformations.stores.server.watch import Watch

__all__ = ["Watch", "extend", "server_of"]

_NOT_BOOTED = 3
"""How a worker of Gunicorn ends that cannot start: its master ends too, in place of starting another."""


def server_of(repository: Path) -> Callable[[FastAPI], None]:
    """The hook for the repository in this folder.

    SystemExit where it fails: Feast would log other errors and start its server without the guards. Where the error
    says what to do, this process ends at once with its message alone: Feast's server would add its own trace.
    """

    def load_artifacts(app: FastAPI) -> None:
        leave_gently()
        bound_heads()
        try:
            extend(app, Watch(FeatureStore(repo_path=str(repository))))
        except FeaturesError as error:
            sys.stderr.write(f"Error: the feature server does not start: {error.message}\n")
            sys.stderr.flush()
            os._exit(_NOT_BOOTED)
        except Exception as error:
            raise SystemExit(f"The feature server does not start: {error}") from error

    return load_artifacts


def extend(app: FastAPI, watch: Watch) -> None:
    """Put our routes and guards before Feast's app.

    /get-online-features answers large requests piece by piece, so that small ones are answered in between. /health is
    200, or 503 with the reasons; /metrics is Prometheus' text format. Endpoints that write are closed unless settings
    open them. Every error is answered with its status, and the connection stays open.
    """
    settings = get_settings()
    store = serving_store(app)
    gate = Gate.of(settings, has_vector_search(store))
    refuse_in_our_form(app)
    own = routes_of(store, watch)
    own.add_middleware(Answers)
    app.user_middleware += [
        Middleware(Answers),
        Middleware(Front, own=own, gate=gate, store=store),
    ]  # inside Feast's audit log
    app.middleware_stack = None  # made before this hook; the next request makes it anew
