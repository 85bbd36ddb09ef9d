"""`owners.yaml`: read whole or refused with file, key and remedy; extended without touching what stands there."""

from pathlib import Path

import pytest

from transformations.engine.base.errors import UsageError
from transformations.insight.governance.owners import Owner, add_owner, read_ownership

OWNERS = """# Ours
owners:
  web@x.org: {team: Web, contact: channel web}

tags:
  domain: [users, topics]
  experiment: any
"""


def test_owners_and_tags_are_read(tmp_path: Path) -> None:
    (tmp_path / "owners.yaml").write_text(OWNERS)
    found = read_ownership(tmp_path)
    assert found is not None
    assert found.owners == {"web@x.org": Owner(team="Web", contact="channel web")}
    assert found.tags == {"domain": ("users", "topics"), "experiment": "any"}


def test_without_a_file_there_is_no_ownership(tmp_path: Path) -> None:
    assert read_ownership(tmp_path) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no keys"),
        ("- web", "holds no keys"),
        ("owners:\n  web: {team: Web}", "owners.yaml:2: owners.web.contact is missing"),
        ("owners: {}\nowners: {}", "the key 'owners' stands twice"),
        ("owners: {web: {team: '', contact: x}}", "owners.web.team"),
        ("owners: {web: Web}", "owners.web"),
        ("owner: {}", "there is no key owner; did you mean 'owners'"),
        ("owners: {web: {team: Web, contact: x, contacts: y}}", "there is no key owners.web.contacts; did you mean"),
        ("owners: {}\ntags: {domain: users}", "tags.domain is neither a list of texts nor `any`"),
        ("owners: {}\ntags: {domain: [1]}", "tags.domain is neither a list of texts nor `any`"),
        ("owners: [", "owners.yaml: line 1, column 10: expected"),
    ],
)
def test_a_fault_is_named_with_its_key(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "owners.yaml").write_text(text)
    with pytest.raises(UsageError) as raised:
        read_ownership(tmp_path)
    assert "owners.yaml" in str(raised.value)
    assert said.lower() in str(raised.value).lower()
    assert len(set(str(raised.value).splitlines())) == len(str(raised.value).splitlines())


@pytest.mark.parametrize("text", [None, "owners: {}\n\ntags: {}\n", OWNERS])
def test_an_owner_is_added_once_and_the_rest_stays(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "owners.yaml").write_text(text)
    assert add_owner(tmp_path, "Fleet: west")
    assert not add_owner(tmp_path, "Fleet: west")
    found = read_ownership(tmp_path)
    assert found is not None
    assert found.owners["Fleet: west"] == Owner(team="Fleet: west", contact="Fleet: west")
    if text == OWNERS:
        assert found.owners["web@x.org"].team == "Web"
        assert (tmp_path / "owners.yaml").read_text().startswith("# Ours\n")
