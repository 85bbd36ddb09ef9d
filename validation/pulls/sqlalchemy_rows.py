"""The new rows of a table behind a SQLAlchemy URL. The URL is a secret: no message says it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq

from transformations.contracts import Contract
from transformations.contracts.model import TableServer
from transformations.engine.base.errors import DataError, ServiceUnavailableError, UsageError
from transformations.engine.base.settings import Settings
from validation.pulls.table_types import NewRows, refuse_other_types
from validation.pulls.watermarks import Mark, mark_of, refuse_missing, start_of_pull, unfit_mark, without_mark

if TYPE_CHECKING:
    from sqlalchemy import Engine, Table

_BATCH_ROWS = 65_536


def write_new_rows(
    contract: Contract, server: TableServer, recorded: Mark | None, folder: Path, _settings: Settings
) -> NewRows:
    """Write the rows that are new since the recorded watermark to a Parquet file of the folder.

    ServiceUnavailableError where the database does not answer, DataError for a table that does not fit.
    """
    import sqlalchemy as sa

    engine = _engine(contract, server)
    try:
        with engine.connect() as connection:
            table = sa.Table(server.table, sa.MetaData(), schema=server.schema, autoload_with=connection)
            refuse_missing(contract, server, list(table.columns.keys()))
            names = [column.in_file for column in contract.columns]
            schema = pa.schema([pa.field(name, _arrow_type(contract, table, name)) for name in names])
            if server.watermark and not isinstance(kind := table.columns[server.watermark].type, _watermark_types()):
                raise unfit_mark(contract, server, repr(kind))
            empty = folder / "empty.parquet"
            pq.write_table(schema.empty_table(), empty)
            refuse_other_types(contract, server, empty)
            empty.unlink()
            return _copy(
                connection,
                contract,
                server,
                table=table,
                recorded=recorded,
                target=folder / "pulled.parquet",
                schema=schema,
            )
    except sa.exc.NoSuchTableError:
        raise DataError(
            f"{contract.file_name}: the database has no table {server.table}. Correct physicalName."
        ) from None
    except sa.exc.SQLAlchemyError as error:
        raise ServiceUnavailableError(
            f"{contract.file_name}: the database that {server.place} names cannot be read: {_words(engine, error)}."
        ) from None
    except (ValueError, TypeError, OverflowError) as error:  # raised where SQLAlchemy itself converts values
        raise DataError(
            f"{contract.file_name}: table {server.table} holds a value that cannot be read as its column's type: "
            f"{_words(engine, error)}. No row was taken. Mend it at the source, or cast the column in a view."
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
    connection: Any,
    contract: Contract,
    server: TableServer,
    *,
    table: Table,
    recorded: Mark | None,
    target: Path,
    schema: pa.Schema,
) -> NewRows:
    import sqlalchemy as sa

    mark = table.columns[server.watermark] if server.watermark else None
    newest = None if mark is None else connection.execute(sa.select(sa.func.max(mark))).scalar()
    since, notes = start_of_pull(server, recorded, mark_of(contract, server, newest))
    chosen = [table.columns[name] for name in schema.names]
    query = sa.select(*chosen, *([] if mark is None else [mark.label("_mark")]))
    if mark is not None and since is not None:
        query = query.where(sa.or_(mark >= since, mark.is_(None)))
    rows, unmarked, found = 0, 0, set[Mark]()
    result = connection.execution_options(stream_results=True).execute(query)
    with pq.ParquetWriter(target, schema) as writer:
        for lines in result.partitions(_BATCH_ROWS):
            columns = list(zip(*lines, strict=True))
            rows += len(lines)
            if mark is not None:
                unmarked += sum(value is None for value in columns[-1])
                known = (mark_of(contract, server, value) for value in columns[-1])
                found = {max(each for each in (*found, *known) if each is not None)} if unmarked < rows else found
            arrays = [_array(contract, field, columns[place]) for place, field in enumerate(schema)]
            writer.write_table(pa.table(arrays, schema=schema))
    if unmarked:
        raise without_mark(contract, server, unmarked)
    return NewRows(rows, next(iter(found), None), notes)


def _array(contract: Contract, field: pa.Field, values: tuple[object, ...]) -> pa.Array:
    """The values of a column; DataError for those that are none of its type, which a database may hold all the same."""
    if pa.types.is_timestamp(field.type):
        _refuse_other_zone(contract, field, values)
    if pa.types.is_string(field.type):
        values = tuple(str(value) if isinstance(value, UUID) else value for value in values)
    _refuse_other_kind(contract, field, values)
    try:
        return pa.array(values, field.type)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise DataError(
            f"{contract.file_name}: column {field.name!r} of the table holds values that are no {field.type}: {error}."
        ) from None


_KINDS: Mapping[int, tuple[type, ...]] = {
    pa.bool_().id: (bool,),
    pa.int64().id: (int,),
    pa.float64().id: (float, int),
    pa.string().id: (str,),
    pa.date32().id: (date,),
    pa.timestamp("us").id: (datetime,),
}


def _refuse_other_kind(contract: Contract, field: pa.Field, values: tuple[object, ...]) -> None:
    """DataError for a value that Arrow would make one of the column's type: of 1.5 it makes 1, of a blob a text."""
    kinds = _KINDS.get(field.type.id)
    strange = next((v for v in values if v is not None and kinds is not None and type(v) not in kinds), None)
    if strange is not None:
        raise DataError(
            f"{contract.file_name}: column {field.name!r} of the table holds values that are no {field.type}, such as "
            f"{strange!r}. Mend them at the source, or cast the column in a view, and name the view in physicalName."
        )


def _refuse_other_zone(contract: Contract, field: pa.Field, values: tuple[object, ...]) -> None:
    """DataError for times with a zone in a column without, or the other way round: either would be a guess."""
    has_zone = field.type.tz is not None
    strange = next((v for v in values if isinstance(v, datetime) and (v.tzinfo is not None) != has_zone), None)
    if strange is not None:
        said = "with" if has_zone else "without"
        raise DataError(
            f"{contract.file_name}: column {field.name!r} of the table is of times {said} a zone, and holds "
            f"{strange.isoformat()}. Cast it in a view, and name the view in physicalName."
        )


def _watermark_types() -> tuple[type, ...]:
    import sqlalchemy as sa

    return (sa.Integer, sa.DateTime, sa.Date, sa.Numeric)


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
