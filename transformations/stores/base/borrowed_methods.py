"""Methods that our offline store takes over from Feast's own."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from importlib import import_module
from typing import Any

from feast import RepoConfig

from transformations.engine.base.errors import UsageError
from transformations.stores.base.feast_seams import with_offline_config


class BorrowedMethod:
    """Borrows a method from another Feast store, importing that store on first use.

    Few commands need one, and Feast's DuckDB store imports ibis: a third of a second.
    """

    def __init__(self, module: str, store: str) -> None:
        self._module, self._store = f"feast.infra.offline_stores.{module}", store

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, store: object, owner: type) -> Callable[..., Any]:
        try:
            module = import_module(self._module)
        except ModuleNotFoundError as error:
            raise UsageError(
                f"{self._name} needs {error.name}, which is not installed here. "
                "Install it: pip install 'feature-platform[train]'."
            ) from None
        method = getattr(getattr(module, self._store), self._name)
        configuration = getattr(module, f"{self._store}Config")

        @wraps(method)
        def call(config: RepoConfig, *rest: Any, **named: Any) -> Any:
            return method(with_offline_config(config, configuration()), *rest, **named)  # they read no key of it

        return call
