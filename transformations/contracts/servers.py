"""Where a source's files are delivered: the standard's `servers`, of which those of type local can be read here."""

import re
from pathlib import Path

from transformations.contracts.document import Node
from transformations.contracts.nearest import nearest

_LOCAL = ("server", "type", "id", "description", "environment", "path", "format", "delimiter", "roles")


def local_path(document: Node) -> str | None:
    """The path of the server of type local; None where there is none.

    A `*` in the file's name stands for any text, everything else for itself; a relative path begins at the project.
    """
    local = [server for server in document.children("servers") if server.values.get("type") == "local"]
    if not local:
        return None
    server = local[0]
    if len(local) > 1:
        raise local[1].error("type", "is local a second time. Write one place where the files are.")
    for key in server.values:
        if key not in (*_LOCAL, "customProperties"):
            raise server.error(str(key), f"would not be read; {nearest(str(key), _LOCAL)}.")
    path = server.text("path", "where the files are, as deliveries/clicks-*.parquet")
    if "*" in str(Path(path).parent):
        raise server.error("path", f"is {path!r}. Write * in the file's name alone: folders are taken literally.")
    return path


def is_one_drop(document: Node) -> bool:
    """Whether all files of the server of type local are one drop; by default each is one of its own."""
    for server in document.children("servers"):
        if server.values.get("type") == "local":
            said = server.custom(("drop",)).optional("drop", str, "all, or leave it out: each file is a drop")
            if said not in (None, "all"):
                raise server.error("customProperties.drop", f"is {said!r}. Write all, or leave it out.")
            return said == "all"
    return False


def delivered_files(path: str, root: Path) -> tuple[Path, ...]:
    """The files and folders of files delivered so far, sorted by name; hidden ones are ignored."""
    whole = root / path
    if "*" not in whole.name:
        return (whole,) if whole.exists() else ()
    name = re.compile(".*".join(re.escape(part) for part in whole.name.split("*")), re.DOTALL)
    if not whole.parent.is_dir():
        return ()
    found = (each for each in whole.parent.iterdir() if name.fullmatch(each.name) and not each.name.startswith("."))
    return tuple(sorted(each for each in found if each.is_file() or each.is_dir()))
