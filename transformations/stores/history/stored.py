"""One feature view as a retrieval or a materialization reads it: its pinned history, its keys, its wanted features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from feast import FeatureView, Field
from feast.types import FeastType, Int64, String

from transformations.engine.base.errors import DataError
from transformations.engine.base.file_rows_sql import Scan
from transformations.engine.base.moments import MICROSECOND
from transformations.engine.base.settings import get_settings
from transformations.stores.base.join_keys import key_fields
from transformations.stores.base.values import canonical_key, unseen_value
from transformations.stores.computed.wiring import reference_of
from transformations.stores.history import point_in_time_sql as sql
from transformations.stores.history.history import History

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


@dataclass(frozen=True)
class Stored:
    """A view's pinned history and its wanted features."""

    view: FeatureView
    history: History
    features: tuple[str, ...]

    @property
    def reference(self) -> str:
        """The view's name in feature references."""
        return reference_of(self.view)

    @property
    def keys(self) -> dict[str, FeastType]:
        """The view's join keys with their dtypes; empty for a view without entities."""
        return {field.name: field.dtype for field in key_fields(self.view)}

    def spine_column(self, key: str) -> str:
        """The spine column that a join key is matched with; it has another name if the view plays a role."""
        return self.view.projection.join_key_map.get(key, key)

    def join(self, scan: Scan, spine_names: Mapping[str, str], **bounds: datetime | None) -> sql.Join:
        """The join of the scanned history. spine_names: each join key's name in the spine."""
        history = self.history
        keys = [
            sql.Key(history.column(key), spine_names[key], sql_type_of_key(dtype)) for key, dtype in self.keys.items()
        ]
        return sql.Join(
            relation=scan.relation,
            keys=tuple(keys),
            timestamp=history.column(history.timestamp),
            created=history.column(history.created) if history.created else None,
            **bounds,
        )

    @property
    def ttl_micros(self) -> int:
        """How long a row counts after its event timestamp, in microseconds; 0 for ever."""
        return (self.view.ttl or timedelta(0)) // MICROSECOND

    @property
    def fields(self) -> dict[str, Field]:
        """The declarations of the wanted features."""
        declared = {field.name: field for field in self.view.features}
        return {name: declared[name] for name in self.features}

    def earliest(self, moment: datetime) -> datetime | None:
        """The earliest event timestamp that can matter to a spine whose first moment is this; None for no bound.

        If a feature has a value for unseen entities, expired rows matter too: they show that an entity was seen.
        """
        if not self.ttl_micros or any(unseen_value(field) is not None for field in self.fields.values()):
            return None
        try:
            return moment - timedelta(microseconds=self.ttl_micros)
        except OverflowError:  # before the year 1, so that every row is after it
            return None

    def scan(self, connection: DuckDBPyConnection, *, is_verified: bool = False) -> Scan:
        """The rows of its history. is_verified and errors as `History.scan`.

        DataError, too, if the files hold a join key in a type that its dtype cannot match.
        """
        history = self.history
        stamps = [history.timestamp, *([history.created] if history.created else [])]
        keys = [history.column(name) for name in self.keys]
        wanted = [*keys, *(history.column(name) for name in (*stamps, *self.features))]
        scan = history.scan(connection, wanted, keys=keys, is_verified=is_verified)
        for key, dtype in self.keys.items():
            found, compared = scan.types[history.column(key)], sql_type_of_key(dtype)
            is_integer = found.endswith(("INT", "INTEGER"))
            # Feast declares the key of a label view String where nothing else is said (label_view.py:179).
            is_text = found == "VARCHAR" or (is_integer and get_settings().keys == "lossless")
            if (compared == "BIGINT" and not is_integer) or (compared == "VARCHAR" and not is_text):
                raise DataError(
                    f"{self.view.name}: join key {key!r} is declared {dtype}, its files hold {found}. "
                    f"Correct the declaration or the files."
                )
        return scan


def sql_type_of_key(dtype: FeastType) -> str | None:
    """The SQL type in which join keys of a declared dtype are matched; None where values are matched as they are."""
    compared = canonical_key(dtype)
    if compared == Int64:
        return "BIGINT"
    return "VARCHAR" if compared == String else None
