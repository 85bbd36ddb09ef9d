"""Writes a site: pages by templates that escape every text, beside the folder, then put in its place."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from uuid import uuid4

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from transformations.contracts.texts import visible
from transformations.engine.base.errors import UsageError
from transformations.engine.base.storage import make_file, make_folder
from transformations.insight.site.pages import PageKind, Site

_FILES = Path(__file__).parent / "files"
_MARK = "catalogue.txt"
_MARKED = "Written by `features docs`, which replaces this folder whole.\n"


def templates_in(*folders: Path) -> Environment:
    """The templates of pages in folders: texts are escaped, their hidden characters are written out, and a name that is
    not given is an error.
    """
    return Environment(
        loader=FileSystemLoader(folders),
        autoescape=True,
        finalize=lambda value: visible(value) if type(value) is str else value,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


_TEMPLATES = templates_in(_FILES)
_TEMPLATES.filters["capitalize_first"] = lambda text: text[:1].upper() + text[1:]


def render_site(site: Site) -> dict[str, str]:
    """The site's files by their path below its folder; equal sites give equal files."""
    by_kind = site.by_kind()
    shared = {"site": site, "by_kind": by_kind, "kinds": PageKind}
    files = {
        page.address.href: _TEMPLATES.get_template("page.html.jinja").render(**shared, page=page, root="../")
        for page in site.pages
    }
    files["index.html"] = _TEMPLATES.get_template("index.html.jinja").render(**shared, root="")
    files["site.css"] = style()
    index = [
        [str(kind), visible(page.address.name), visible(page.summary), page.address.href]
        for kind in by_kind
        for page in by_kind[kind]
    ]
    code = (_FILES / "site.js").read_text(encoding="utf-8")
    files["site.js"] = f"const INDEX = {json.dumps(index, ensure_ascii=True)};\n{code}"
    files[_MARK] = _MARKED
    return files


def style() -> str:
    """The look of our pages, in CSS; reports share it."""
    return (_FILES / "site.css").read_text(encoding="utf-8")


def render_page(template: str, **values: object) -> str:
    """A page that stands alone, with the look inside it."""
    return _TEMPLATES.get_template(template).render(style=style(), **values)


def write_site(site: Site, folder: Path) -> int:
    """Write the site, replacing the one that the folder holds; returns the number of pages.

    It is written beside the folder and put in its place by two renames, so that nobody sees half of it; a run that is
    killed just between them leaves the former site beside, under a hidden name. UsageError for a folder that holds
    anything else.
    """
    folder = folder.absolute()
    _refuse_others(folder)
    files = render_site(site)
    make_folder(folder.parent)
    unfinished = folder.with_name(f".{folder.name}.{uuid4().hex}.unfinished")
    former = folder.with_name(f".{folder.name}.{uuid4().hex}.former")
    try:
        for name, text in files.items():
            make_folder((unfinished / name).parent)
            make_file(unfinished / name).write_text(text, encoding="utf-8", newline="\n")
        if folder.exists():
            folder.rename(former)
        unfinished.rename(folder)
    except BaseException:
        if former.exists() and not folder.exists():
            former.rename(folder)
        raise
    finally:
        for left in (unfinished, former):
            shutil.rmtree(left, ignore_errors=True)
    return sum(name.endswith(".html") for name in files)


def _refuse_others(folder: Path) -> None:
    """The folder is replaced whole, so it must be ours, empty, or not there."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise UsageError(f"{folder} is no folder. Give --out another one.")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / _MARK).is_file():
        raise UsageError(
            f"{folder} holds files that `features docs` did not write, and it would replace them. "
            "Give --out another folder."
        )
