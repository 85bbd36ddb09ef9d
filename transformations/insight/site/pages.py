"""The site's content as plain values: pages with facts, members, a drawing of lineage, a plot and examples."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from transformations.insight.site.distributions import Distribution
from transformations.insight.site.drawing import Drawing
from transformations.insight.site.expected_plots import ExpectedPlot

_LONGEST_FILE_NAME = 120


class PageKind(StrEnum):
    """What a page is about, in the order of the site's front page."""

    SOURCE = "source"
    VIEW = "feature view"
    ON_DEMAND_VIEW = "on-demand feature view"
    SERVICE = "feature service"
    DATASET = "dataset"
    MODEL = "model"
    OWNER = "owner"
    ENTITY = "entity"
    FEATURE = "feature"
    ON_DEMAND_FEATURE = "on-demand feature"
    COLUMN = "source column"
    REQUEST_FIELD = "request field"

    @property
    def folder(self) -> str:
        """The folder of its pages."""
        return self.replace(" ", "-")

    @property
    def plural(self) -> str:
        """Its name for several."""
        return "entities" if self is PageKind.ENTITY else f"{self}s"


@dataclass(frozen=True)
class Address:
    """Names one page."""

    kind: PageKind
    name: str

    @property
    def href(self) -> str:
        """The page's file below the site's folder: the name where a file can have it, else marked with a checksum.

        feature user_clicks:clicks_count_7d -> feature/user_clicks.clicks_count_7d.html
        """
        plain = self.name.replace(":", ".")
        safe = re.sub(r"[^a-z0-9_.@-]", "-", plain)[:_LONGEST_FILE_NAME].lstrip(".")
        if safe != plain or len(re.findall("[:.]", self.name)) > 1:
            safe += f"-{hashlib.sha256(self.name.encode()).hexdigest()[:8]}"
        return f"{self.kind.folder}/{safe}.html"


@dataclass(frozen=True)
class Piece:
    """A piece of a fact's text, which may lead to a page."""

    text: str
    href: str | None = None


@dataclass(frozen=True)
class Fact:
    """A labelled fact: its pieces are shown with commas between."""

    label: str
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class Members:
    """What a page's subject holds, as a table of pages: `columns` are the headings after the name."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Piece, tuple[str, ...]], ...]


@dataclass(frozen=True)
class Example:
    """Code that one can copy."""

    title: str
    code: str


@dataclass(frozen=True, kw_only=True)
class Page:
    """All that one page shows. note: what is said in the place of a plot."""

    address: Address
    title: str
    summary: str
    facts: tuple[Fact, ...]
    members: tuple[Members, ...] = ()
    drawing: Drawing | None = None
    distribution: Distribution | None = None
    expected: tuple[ExpectedPlot, ...] = ()
    note: str = ""
    examples: tuple[Example, ...] = ()

    @property
    def unit(self) -> str:
        """The unit of its values, where it has one."""
        return next((fact.pieces[0].text for fact in self.facts if fact.label == "Unit"), "")


@dataclass(frozen=True)
class Site:
    """The whole site. overview: the lineage of sources, views, services, datasets and models.

    gaps: a sentence for each dataset or model that has no page, because its file cannot be read.
    """

    project: str
    pages: Sequence[Page]
    overview: Drawing | None
    gaps: Sequence[str] = ()

    def by_kind(self) -> Mapping[PageKind, list[Page]]:
        """The pages of each kind that has any, by name."""
        found = {kind: [page for page in self.pages if page.address.kind is kind] for kind in PageKind}
        return {kind: sorted(pages, key=lambda page: page.address.name) for kind, pages in found.items() if pages}
