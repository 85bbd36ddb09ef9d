"""How a column's values are written in the file, as its contract declares it: forms, separators, stored type."""

import re
from typing import Literal

from transformations.contracts.document import Node
from transformations.contracts.model import Column, ColumnFormat
from transformations.contracts.strptime import form_fault, time_form

_TEXT = re.compile(r"(n?var)?char|n?varchar2?|character varying|string|text|utf8|object", re.IGNORECASE)
_NUMBER = re.compile(r"float\d*|double( precision)?|real|decimal|numeric|number", re.IGNORECASE)
_NAIVE = re.compile(r"timestamp without time zone|timestamp_?ntz|datetime2?", re.IGNORECASE)
_DECIMAL_SEPARATORS = (".", ",")
_THOUSANDS_SEPARATORS = (",", ".", " ", "'", "’", "_", "\N{NO-BREAK SPACE}", "\N{NARROW NO-BREAK SPACE}")


def column_format(node: Node, custom: Node, name: str, dtype: str) -> ColumnFormat:
    """What a column's node and its customProperties say of its form in the file; ContractError where it cannot be."""
    decimal = _read_separator(custom, "decimalSeparator", _DECIMAL_SEPARATORS, name)
    thousands = _read_separator(custom, "thousandsSeparator", _THOUSANDS_SEPARATORS, name)
    if decimal and dtype != "Float64":
        raise custom.error("decimalSeparator", f"of {name!r}: only numbers have one. Leave it out.")
    if thousands and dtype not in ("Int64", "Float64"):
        raise custom.error("thousandsSeparator", f"of {name!r}: only integers and numbers have one. Leave it out.")
    if thousands and thousands == (decimal or ".") and dtype == "Float64":
        raise custom.error("thousandsSeparator", f"of {name!r} is the decimal separator, too. Declare both, different.")
    return ColumnFormat(_read_forms(custom, name, dtype), decimal or ".", thousands or "", _stored_as(node))


def refuse_zoneless(properties: Node, columns: tuple[Column, ...]) -> None:
    """ContractError where a column holds local times, yet the contract does not say in which zone."""
    if properties.values.get("timestampZone") is not None:
        return
    for column in columns:
        local = next((form for form in column.format.strptime if not time_form(form).zone), None)
        if column.dtype == "UnixTimestamp" and (local or column.format.stored_as == "naive time"):
            why = f"by its form {local!r}" if local else "by its physicalType"
            raise properties.error(
                "timestampZone",
                f"is missing, yet {column.name!r} holds times without an offset {why}. "
                "Write the zone that its clock shows, such as Europe/Berlin, or UTC.",
            )


def _read_separator(custom: Node, key: str, known: tuple[str, ...], name: str) -> str | None:
    value = custom.values.get(key)
    if value is None or value in known:
        return None if value is None else str(value)
    raise custom.error(key, f"of {name!r} is {value!r}. Write one of {' '.join(repr(each) for each in known)}.")


def _read_forms(custom: Node, name: str, dtype: str) -> tuple[str, ...]:
    value = custom.values.get("strptime")
    if value is None:
        return ()
    if dtype not in ("UnixTimestamp", "Date"):
        raise custom.error("strptime", f"of {name!r}: only timestamps and dates have a form of times. Leave it out.")
    given = value if isinstance(value, list) else [value]
    forms = tuple(form for form in given if isinstance(form, str) and form == form.strip() != "")
    if not forms or len(forms) < len(given):
        raise custom.error("strptime", f"of {name!r} is {value!r}. Write a form such as '%d/%m/%Y %H:%M', or a list.")
    for form in forms:
        if fault := form_fault(form, dtype):
            raise custom.error("strptime", f"{form!r} of {name!r} {fault}")
    return forms


def _stored_as(node: Node) -> Literal["text", "number", "naive time"] | None:
    declared = node.optional("physicalType", str, "the type that the file stores, such as varchar or double")
    bare = re.sub(r"\(.*\)", "", declared or "").strip()
    if _TEXT.fullmatch(bare):
        return "text"
    if _NUMBER.fullmatch(bare):
        return "number"
    return "naive time" if _NAIVE.fullmatch(bare) else None
