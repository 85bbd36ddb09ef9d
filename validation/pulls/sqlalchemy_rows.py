"""The new rows of a table behind a SQLAlchemy URL. The URL is a secret: no message says it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from transformations.contracts import Contract
from transformations.contracts.model import TableServer
from transformations.engine.base.errors import DataError, ServiceUnavailableError, UsageError
from validation.pulls.watermarks import Mark, checked_mark, refuse_missing, without_mark

if TYPE_CHECKING:
    from sqlalchemy import Engine, Table

_BATCH_ROWS = 65_536


def write_new_rows(
    contract: Contract, server: TableServer, since: Mark | None, target: Path
) -> tuple[int, Mark | None]:
    """Write the new rows to a Parquet file; how many there are, and the new watermark.

    ServiceUnavailableError where the database does not answer, DataError for a table that does not fit.
    """
    import sqlalchemy as sa

    engine = _engine(contract, server)
    try:
        with engine.connect() as connection:
            table = sa.Table(server.table, sa.MetaData(), schema=server.schema, autoload_with=connection)
            refuse_missing(contract, server, list(table.columns.keys()))
            return _copy(connection, contract, server, table, since, target)
    except sa.exc.NoSuchTableError:
        raise DataError(
            f"{contract.file_name}: the database has no table {server.table}. Correct physicalName."
        ) from None
    except sa.exc.SQLAlchemyError as error:
        raise ServiceUnavailableError(
            f"{contract.file_name}: the database that {server.place} names cannot be read: {_words(engine, error)}."
        ) from None
    finally:
        engine.dispose()


def _engine(contract: Contract, server: TableServer) -> Engine:
    import sqlalchemy as sa

    url = os.environ.get(server.place)
    if not url:
        raise UsageError(
            f"{contract.file_name}: the environment variable {server.place} is not set. Set it to the SQLAlchemy URL "
            f"of the database, such as postgresql+psycopg://user:password@host/name."
        )
    try:
        return sa.create_engine(url)
    except (sa.exc.SQLAlchemyError, ImportError, ValueError) as error:
        raise UsageError(
            f"{contract.file_name}: what {server.place} holds is no URL that SQLAlchemy can open here "
            f"({type(error).__name__}). Correct it, or install its driver."
        ) from None


def _copy(
    connection: Any, contract: Contract, server: TableServer, table: Table, since: Mark | None, target: Path
) -> tuple[int, Mark | None]:
    import sqlalchemy as sa

    names = [column.in_file for column in contract.columns]
    chosen = [table.columns[name] for name in names]
    mark = table.columns[server.watermark] if server.watermark else None
    query = sa.select(*chosen, *([] if mark is None else [mark.label("_mark")]))
    if mark is not None and since is not None:
        query = query.where(sa.or_(mark >= since, mark.is_(None)))
    schema = pa.schema([pa.field(name, _arrow_type(contract, table, name)) for name in names])
    rows, unmarked, newest = 0, 0, since
    result = connection.execution_options(stream_results=True).execute(query)
    with pq.ParquetWriter(target, schema) as writer:
        for lines in result.partitions(_BATCH_ROWS):
            columns = list(zip(*lines, strict=True))
            rows += len(lines)
            if mark is not None:
                unmarked += sum(value is None for value in columns[-1])
                known = [checked_mark(contract, server, value) for value in columns[-1] if value is not None]
                newest = max([*known, *([] if newest is None else [newest])], default=None)  # type: ignore[type-var]
            arrays = [_array(contract, field, columns[place]) for place, field in enumerate(schema)]
            writer.write_table(pa.table(arrays, schema=schema))
    if unmarked:
        raise without_mark(contract, server, unmarked)
    return rows, newest


def _array(contract: Contract, field: pa.Field, values: tuple[object, ...]) -> pa.Array:
    try:
        return pa.array(values, field.type)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise DataError(
            f"{contract.file_name}: column {field.name!r} of the table holds values that are no {field.type}: {error}."
        ) from None


def _arrow_type(contract: Contract, table: Table, name: str) -> pa.DataType:
    import sqlalchemy as sa

    kind = table.columns[name].type
    match kind:
        case sa.Boolean():
            return pa.bool_()
        case sa.Integer():
            return pa.int64()
        case sa.Float():
            return pa.float64()
        case sa.Numeric() if kind.precision and kind.precision <= 38:
            return pa.decimal128(kind.precision, kind.scale or 0)
        case sa.String() | sa.Enum() | sa.Uuid():
            return pa.string()
        case sa.DateTime() if kind.timezone:
            return pa.timestamp("us", tz="UTC")
        case sa.DateTime():
            return pa.timestamp("us")
        case sa.Date():
            return pa.date32()
    raise DataError(
        f"{contract.file_name}: column {name!r} of table {table.name} is {kind!r}, which is not read from a database. "
        f"Cast it in a view, and name the view in physicalName."
    )


def _words(engine: Engine, error: Exception) -> str:
    """What went wrong, without the URL's secrets."""
    text = " ".join(str(getattr(error, "orig", None) or error).split())[:300].rstrip(".")
    secrets = [engine.url.render_as_string(hide_password=False), engine.url.password or "", *engine.url.query.values()]
    for secret in (each for each in secrets if isinstance(each, str) and each):
        text = text.replace(secret, "***")
    return text
