"""The new rows of a table in a DuckDB file, or of a Delta table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from transformations.contracts import Contract
from transformations.contracts.model import TableServer
from transformations.engine.base import storage
from transformations.engine.base.errors import DataError, ServiceUnavailableError
from transformations.engine.base.settings import Settings
from validation.files.sessions import ingestion_session
from validation.pulls import pulled_sql
from validation.pulls.table_types import NewRows, refuse_other_types
from validation.pulls.watermarks import Mark, mark_of, refuse_missing, start_of_pull, unfit_mark, without_mark

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def write_new_rows(
    contract: Contract, server: TableServer, recorded: Mark | None, folder: Path, settings: Settings
) -> NewRows:
    """Write the rows that are new since the recorded watermark to a Parquet file of the folder.

    DataError for a table that cannot be read or does not fit, ServiceUnavailableError while another program holds it.
    """
    import duckdb

    place = settings.project_root / server.place
    with ingestion_session(settings, is_private=True) as connection:
        try:
            return _write(
                connection, contract, server, recorded, folder, table_item(connection, contract, server, place)
            )
        except duckdb.Error as error:
            reason = str(error).splitlines()[0].rstrip(".")
            if isinstance(error, duckdb.IOException) and "lock" in reason:
                raise ServiceUnavailableError(
                    f"{contract.file_name}: {place} is held by another program ({reason}). Repeat the command once it "
                    f"has closed the file."
                ) from None
            raise DataError(
                f"{contract.file_name}: table {server.table} of {place} cannot be read: {reason}. No row was taken."
            ) from None


def table_item(connection: DuckDBPyConnection, contract: Contract, server: TableServer, place: Path) -> str:
    """The table as a FROM item of the connection."""
    if server.kind == "duckdb":
        if not place.is_file():
            raise DataError(f"{contract.file_name}: {place}: no such DuckDB file. Correct `database`.")
        connection.execute(pulled_sql.attach_statement(place))
        return pulled_sql.attached_table(server)
    if not storage.is_table(place):
        raise DataError(f"{contract.file_name}: {place} is no Delta table. Correct `path`.")
    connection.register("elsewhere", storage.open_table(place).to_pyarrow_dataset())
    return "elsewhere"


def _write(
    connection: DuckDBPyConnection,
    contract: Contract,
    server: TableServer,
    recorded: Mark | None,
    folder: Path,
    table: str,
) -> NewRows:
    found = {row[0]: row[1] for row in connection.execute(pulled_sql.described_query(table)).fetchall()}
    refuse_missing(contract, server, list(found))
    kinds = {column.in_file: found[column.in_file] for column in contract.columns}
    columns = pulled_sql.portable_columns(kinds)
    _refuse_unfit_watermark(contract, server, found)
    empty, target = folder / "empty.parquet", folder / "pulled.parquet"
    connection.execute(pulled_sql.empty_statement(table, columns, empty))
    refuse_other_types(contract, server, empty)
    empty.unlink()
    mark = pulled_sql.finite_mark(server.watermark, found) if server.watermark else None
    newest = None
    if mark is not None:
        ((newest,),) = connection.execute(pulled_sql.newest_query(table, mark)).fetchall()
    since, notes = start_of_pull(server, recorded, mark_of(contract, server, newest))
    connection.execute(pulled_sql.pull_statement(table, columns, mark, since))
    ((rows, unmarked, newest),) = connection.execute(pulled_sql.FACTS_QUERY).fetchall()
    if server.watermark and unmarked:
        raise without_mark(contract, server, unmarked)
    connection.execute(pulled_sql.write_statement(list(kinds), target))
    return NewRows(rows, mark_of(contract, server, newest), notes)


def _refuse_unfit_watermark(contract: Contract, server: TableServer, found: dict[str, str]) -> None:
    if server.watermark and not pulled_sql.can_be_watermark(found[server.watermark]):
        raise unfit_mark(contract, server, found[server.watermark])
