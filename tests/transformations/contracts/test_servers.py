"""Where files are delivered: literal paths, but for a declared * in a file's name."""

import pytest

from transformations.contracts import ContractError
from transformations.contracts.document import Node
from transformations.contracts.servers import delivered_files, is_one_drop, local_path


def contract(*servers: dict[str, object]) -> Node:
    return Node("clicks.yaml", "", {"servers": list(servers)})


def test_the_server_of_type_local_says_where_the_files_are():
    elsewhere = {"server": "lake", "type": "s3", "location": "s3://clicks"}
    assert local_path(contract(elsewhere)) is None
    assert local_path(contract(elsewhere, {"type": "local", "path": "in/clicks-*.csv"})) == "in/clicks-*.csv"


@pytest.mark.parametrize(
    ("servers", "message"),
    [
        (({"type": "local"},), r"servers\[0\].path is missing"),
        (({"type": "local", "path": "a"}, {"type": "local", "path": "b"}), r"servers\[1\].type is local a second time"),
        (({"type": "local", "path": "in/*/a.csv"},), r"Write \* in the file's name alone"),
        (({"type": "local", "paht": "a"},), r"servers\[0\].paht would not be read; did you mean 'path'"),
    ],
)
def test_a_server_that_cannot_be_meant_is_refused(servers, message):
    with pytest.raises(ContractError, match=message):
        local_path(contract(*servers))


@pytest.mark.parametrize(("said", "is_one"), [([], False), ([{"property": "drop", "value": "all"}], True)])
def test_all_files_are_one_drop_where_the_server_says_so(said, is_one):
    assert is_one_drop(contract({"type": "local", "path": "in/*.csv", "customProperties": said})) == is_one


def test_another_word_for_a_drop_is_refused():
    said = [{"property": "drop", "value": "some"}]
    with pytest.raises(ContractError, match=r"drop is 'some'. Write all, or leave it out"):
        is_one_drop(contract({"type": "local", "path": "in/*.csv", "customProperties": said}))


def test_only_a_star_stands_for_other_text(tmp_path):
    for name in ("report1.csv", "report[1].csv", "report[1]-b.csv", ".report[1].csv", "report[1].csv.part"):
        (tmp_path / name).write_text("")
    (tmp_path / "report[1]-c.csv").mkdir()

    def names(path: str) -> list[str]:
        return [file.name for file in delivered_files(path, tmp_path)]

    assert names("report[1].csv") == ["report[1].csv"]
    assert names("report?.csv") == []
    assert names("*[1]*.csv") == ["report[1]-b.csv", "report[1]-c.csv", "report[1].csv"]  # a folder is a drop, too
    assert names("nowhere/*.csv") == []
