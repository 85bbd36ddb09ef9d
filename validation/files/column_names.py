"""The columns of a delivered file under the contract's names: renamed, ignored, and each there once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from transformations.contracts import Contract, FileForm
from transformations.engine.base.errors import DataError
from transformations.engine.base.words import plural

ROW = "_row_of_the_file"  # no column of a contract begins with _


def name_columns(
    file: str, form: FileForm, contract: Contract | None, found: Sequence[str]
) -> list[tuple[str, str] | None]:
    """Each column's name in the contract and in the file; None for a column that the contract ignores."""
    ours = {form.folded(column.in_file): column.name for column in contract.columns} if contract else {}
    ignored = {form.folded(name) for name in form.ignored_columns}
    kept = [None if form.folded(name) in ignored else (ours.get(form.folded(name), name), name) for name in found]
    _refuse_repeated(file, [each[1] for each in kept if each])
    for name, there in (each for each in kept if each):
        if contract and name == there and form.folded(there) not in ours and name.lower() in _lower_names(contract):
            in_file = next(each.in_file for each in contract.columns if each.name.lower() == name.lower())
            if in_file.lower() != name.lower():
                raise DataError(
                    f"{file} has a column {name!r}, yet by the contract that column is called {in_file!r} in "
                    f"files. Correct physicalName, or name {name!r} in ignoredColumns."
                )
    return kept


def names_without_header(file: str, width: int, contract: Contract | None, expected: Sequence[str]) -> tuple[str, ...]:
    """The names of the columns of a file without a header: the contract's, in its order."""
    if contract is None:
        return tuple(f"column_{number}" for number in range(1, width + 1))
    if width != len(expected):
        raise DataError(
            f"{file}: its first row has {plural(width, 'cell')}, the contract {plural(len(expected), 'column')}, and "
            f"no header says which is which (csv: header: false). Deliver all columns in the contract's order."
        )
    return tuple(contract.column(name).in_file for name in expected)


def _lower_names(contract: Contract) -> set[str]:
    return {name.lower() for name in contract.column_names}


def _refuse_repeated(file: str, names: Sequence[str]) -> None:
    """DataError unless each column has its own name, case aside: DuckDB would rename the second of a pair."""
    if any(not name.strip() for name in names):
        number = next(number for number, name in enumerate(names, 1) if not name.strip())
        raise DataError(
            f"{file}: column {number} of {len(names)} has no name. Name it in the file (pandas' index is left "
            f"out by index=False), or ignore it in the contract: ignoredColumns: ['']."
        )
    counts = Counter(name.lower() for name in names)
    if twice := [name for name in names if counts[name.lower()] > 1]:
        raise DataError(
            f"{file} has {len(twice)} columns called {', '.join(map(repr, twice[:4]))} (case aside). Each needs a "
            f"name of its own: rename or leave out one at the source."
        )
    if ROW in (name.lower() for name in names):
        raise DataError(f"{file} has a column {ROW!r}, the name of the platform's own. Rename it.")
