"""Writing the site: every text is escaped, equal sites are equal files, and only our own folder is replaced."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from transformations.engine.base.errors import UsageError
from transformations.insight.site.distributions import Bar, Distribution
from transformations.insight.site.drawing import Edge, Node, draw
from transformations.insight.site.pages import Address, Example, Fact, Members, Page, PageKind, Piece, Site
from transformations.insight.site.writing import render_site, write_site

EVIL = "</script><script>alert('x')</script>\"'><img src=x onerror=alert(1)>"
ADDRESS = Address(PageKind.FEATURE, f"v:{EVIL}")
PAGE = Page(
    address=ADDRESS,
    title=EVIL,
    summary=EVIL,
    facts=(Fact(EVIL, (Piece(EVIL), Piece(EVIL, ADDRESS.href))), Fact("Unit", (Piece(EVIL),))),
    members=(Members(EVIL, (EVIL,), ((Piece(EVIL, ADDRESS.href), (EVIL,)),)),),
    drawing=draw([Node("a", EVIL, EVIL, ADDRESS.href), Node("b", EVIL, EVIL, None, holder=EVIL)], [Edge("a", "b")]),
    distribution=Distribution(version=0, rows=1, nulls=0, outside=0, bars=(Bar(EVIL, 1),), is_binned=False),
    examples=(Example(EVIL, EVIL),),
)
SITE = Site(EVIL, [PAGE], PAGE.drawing)


def test_no_text_becomes_markup() -> None:
    for name, text in render_site(SITE).items():
        if name.endswith(".html"):
            assert "alert" in text
            assert "<img" not in text
            assert text.count("<script") == 1, name  # our own


def test_no_text_turns_the_direction_of_what_follows_or_hides() -> None:
    hiding = "read\u202eodaer\u200b\x07"
    page = replace(
        PAGE,
        title=hiding,
        summary=hiding,
        facts=(Fact(hiding, (Piece(hiding),)),),
        drawing=draw([Node("a", hiding, hiding, None, holder=hiding)], []),
        examples=(Example(hiding, hiding),),
    )
    for name, text in render_site(Site(hiding, [page], page.drawing)).items():
        assert not {"\u202e", "\u200b", "\x07"} & set(text), name
        assert name.endswith((".css", ".txt")) or "read" not in text or "\\u202e" in text, name
    index = render_site(Site(hiding, [page], page.drawing))["site.js"].splitlines()[0]
    assert json.loads(index.removeprefix("const INDEX = ").removesuffix(";"))[0][2] == "read\\u202eodaer\\u200b\\u0007"


def test_no_text_leaves_its_place_in_the_script() -> None:
    first = render_site(SITE)["site.js"].splitlines()[0]
    assert first.startswith("const INDEX = [[")
    assert first.endswith("]];")


def test_the_same_site_is_the_same_files() -> None:
    assert render_site(SITE) == render_site(replace(SITE))


def test_names_that_differ_only_in_case_or_signs_have_files_of_their_own() -> None:
    names = ["v:a", "v:A", "v.a/b", "v.a b", "../v", "v:a.b", "v.a:b", "v:" + "x" * 400, "v:" + "x" * 401, "ä"]
    files = [Address(PageKind.FEATURE, name).href for name in names]
    assert len({file.lower() for file in files}) == len(names)
    assert all(len(file) < 160 and file.count("/") == 1 and "/." not in file for file in files)


def test_a_site_is_replaced_whole(tmp_path: Path) -> None:
    folder = tmp_path / "catalogue"
    assert write_site(SITE, folder) == 2
    (folder / "gone.html").write_text("an old page")
    write_site(SITE, folder)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["catalogue"]
    assert not (folder / "gone.html").exists()


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="did not write"):
        write_site(SITE, tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_a_site_that_cannot_be_written_leaves_the_former_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "catalogue"
    write_site(SITE, folder)
    before = (folder / "index.html").read_bytes()

    def full(path: Path, *_arguments: object, **_options: object) -> int:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space"):
        write_site(SITE, folder)
    assert (folder / "index.html").read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["catalogue"]
