"""The tables of rollouts, beside the log in Feast's registry database: what servers saw, which are there, who decides.

They are working state. The log alone says who answers; losing these tables loses what the present step has seen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Engine,
    Float,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    and_,
    create_engine,
    extract,
    func,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError
from sqlalchemy.schema import CreateTable

from transformations.engine.base.errors import UsageError
from transformations.models.log.event_log import REGISTRY

_METADATA = MetaData()
_Insert = sqlite.Insert | postgresql.Insert
_INSERTS: Mapping[str, Callable[[Table], _Insert]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}

OBSERVATIONS = Table(
    "features_rollout_observations",
    _METADATA,
    Column("project_id", String(255), primary_key=True),
    Column("model_name", String(255), primary_key=True),
    Column("step", Integer, primary_key=True, autoincrement=False, comment="number of the event that began it"),
    Column("kind", String(16), primary_key=True),
    Column("unit", String(64), primary_key=True),
    Column("value", Float, nullable=False),
    Column("seen_at", BigInteger, nullable=False, comment="microseconds since the epoch"),
    Column("place", Integer, nullable=False, comment="among those that were seen at once"),
)
COUNTERS = Table(
    "features_rollout_counters",
    _METADATA,
    Column("project_id", String(255), primary_key=True),
    Column("model_name", String(255), primary_key=True),
    Column("step", Integer, primary_key=True, autoincrement=False),
    Column("server", String(128), primary_key=True),
    Column("clean", BigInteger, nullable=False),
    Column("failed", BigInteger, nullable=False),
    Column("shed", BigInteger, nullable=False),
)
SERVERS = Table(
    "features_model_servers",
    _METADATA,
    Column("project_id", String(255), primary_key=True),
    Column("model_name", String(255), primary_key=True),
    Column("server", String(128), primary_key=True),
    Column("event", Integer, nullable=False, comment="the last event that it follows"),
    Column("seen_at", Float, nullable=False, comment="seconds since the epoch"),
    Column("trouble", Text, nullable=False),
)
LEASES = Table(
    "features_rollout_leases",
    _METADATA,
    Column("project_id", String(255), primary_key=True),
    Column("model_name", String(255), primary_key=True),
    Column("holder", String(128), nullable=False),
    Column("until", Float, nullable=False, comment="seconds since the epoch"),
)

Row = Mapping[str, object]
_EPOCH_DAYS = 2_440_587.5
"""Of the Julian calendar until 1970-01-01."""


class RolloutTables:
    """The tables of a project in the registry's database; made when first written to or read."""

    def __init__(self, project: str, url: str = REGISTRY) -> None:
        self.project = project
        self._url = url

    @cached_property
    def engine(self) -> Engine:
        """The database, with the tables in it."""
        engine = create_engine(self._url)
        if engine.dialect.name not in _INSERTS:
            raise UsageError(
                f"rollouts need a registry in SQLite or PostgreSQL, and this one is {engine.dialect.name}."
            )
        for table in _METADATA.sorted_tables:
            try:
                with engine.begin() as connection:
                    connection.execute(CreateTable(table, if_not_exists=True))
            except (IntegrityError, ProgrammingError, OperationalError):  # where two processes make it at once
                with engine.begin() as connection:
                    connection.execute(CreateTable(table, if_not_exists=True))
        return engine

    def of_model(self, model: str) -> dict[str, object]:
        """The columns that every table begins with."""
        return {"project_id": self.project, "model_name": model}


def moment_of(connection: Connection) -> float:
    """Now, in seconds since the epoch, by the database's clock: machines whose clocks are apart have it in common."""
    days = func.julianday("now") - _EPOCH_DAYS
    now = days * 86_400.0 if connection.dialect.name == "sqlite" else extract("epoch", func.clock_timestamp())
    return float(connection.execute(select(now)).scalar_one())


def insert_new(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert the rows whose keys are not there yet."""
    if rows:
        statement = _INSERTS[connection.dialect.name](table).on_conflict_do_nothing()
        connection.execute(statement, [dict(row) for row in rows])


def put(connection: Connection, table: Table, row: Row) -> None:
    """Insert a row, or replace the one of its key."""
    statement = _INSERTS[connection.dialect.name](table).values(dict(row))
    keys = [column.name for column in table.primary_key]
    others = {column.name: statement.excluded[column.name] for column in table.columns if column.name not in keys}
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=others))


def is_of(table: Table, row: Row) -> ColumnElement[bool]:
    """The condition that a table's columns have a row's values."""
    return and_(*(table.c[name] == value for name, value in row.items()))
