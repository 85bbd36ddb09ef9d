"""Files and folders that are published whole in object storage: replaced, withdrawn, raced for, and read meanwhile."""

from collections.abc import Callable
from pathlib import Path

import pytest

from transformations.engine.base.errors import ConflictError, DamagedError
from transformations.engine.base.files.bucket import Bucket
from transformations.engine.base.files.published import (
    bring,
    bring_all,
    published_in,
    pull,
    pull_all,
    put_folder,
    replacing,
    withdraw,
)
from transformations.engine.base.settings import Settings

On = Callable[[str], Path]


@pytest.fixture
def on(at_machine: Callable[[str], Settings]) -> On:
    """The day's file as a machine has it, from now on this process."""
    return lambda name: at_machine(name).monitoring_dir / "churn" / "days" / "2024-05-20.parquet"


def write(file: Path, text: str, after: int | None = None) -> None:
    with replacing(file, after) as draft:
        draft.write_text(text)


def objects(place: Path) -> list[str]:
    """The texts that the bucket has of the day."""
    return sorted(each.read_text() for each in place.rglob("@files-*/*"))


def test_every_machine_reads_what_was_published_last_and_the_bucket_keeps_no_more(on: On, place: Path) -> None:
    write(on("a"), "one")
    assert (pull(on("b")), on("b").read_text()) == (1, "one")
    write(on("b"), "two")
    assert (pull(on("a")), on("a").read_text()) == (2, "two")
    write(on("c"), "three")  # which has not looked what was there before
    assert (pull(on("a")), on("a").read_text()) == (3, "three")
    assert objects(place) == ["three"]


def test_of_two_that_began_with_the_same_content_one_publishes(on: On, place: Path) -> None:
    write(on("a"), "one")
    seen = pull(on("b"))
    write(on("a"), "two")
    with pytest.raises(ConflictError, match="another machine published, replaced or removed it meanwhile"):
        write(on("b"), "other", after=seen)
    assert (on("b").read_text(), objects(place)) == ("one", ["two"])
    assert (pull(on("b")), on("b").read_text()) == (2, "two")


def test_a_block_that_fails_publishes_nothing(on: On, place: Path) -> None:
    file = on("a")
    with pytest.raises(TypeError):
        write(file, 7)  # type: ignore[arg-type]
    assert (file.exists(), objects(place), list(file.parent.iterdir())) == (False, [], [])


def test_what_is_withdrawn_is_gone_everywhere_and_may_be_published_anew(on: On, place: Path) -> None:
    write(on("a"), "one")
    pull(on("b"))
    withdraw(on("b"))
    assert (on("b").exists(), objects(place)) == (False, [])
    assert (pull(on("a")), on("a").exists()) == (2, False)
    write(on("a"), "three")
    assert (pull(on("b")), on("b").read_text()) == (3, "three")


def test_who_fetches_while_it_is_replaced_gets_the_newer_one(on: On, monkeypatch: pytest.MonkeyPatch) -> None:
    write(on("a"), "one")
    download = Bucket.download
    is_first = iter([True])

    def slow(bucket: Bucket, path: Path, target: Path) -> str:
        if next(is_first, False):
            write(on("a"), "two")
            on("b")
        return download(bucket, path, target)

    monkeypatch.setattr(Bucket, "download", slow)
    assert (pull(on("b")), on("b").read_text()) == (2, "two")


def test_bytes_that_were_not_written_are_refused(on: On, place: Path) -> None:
    write(on("a"), "one")
    (stored,) = place.rglob("@files-*/*")
    stored.write_text("0ne")
    with pytest.raises(DamagedError, match=r"\w+://.*parquet is damaged"):
        pull(on("b"))
    stored.unlink()
    with pytest.raises(DamagedError, match="a file of it is missing"):
        pull(on("b"))
    assert not on("b").exists()


def test_a_process_that_is_killed_once_it_has_published_has_lost_nothing(
    on: On, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(on("a"), "one")
    with monkeypatch.context() as killed:
        killed.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            write(on("a"), "two")
    assert on("a").read_text() == "one"
    assert (pull(on("a")), on("a").read_text()) == (2, "two")


def test_a_folder_is_listed_with_what_is_here_and_there(on: On, place: Path) -> None:
    write(on("a"), "one")
    finished = on("a").parent / "finished"
    finished.mkdir()
    (finished / "rows").write_text("1")
    put_folder(finished, on("a").with_name("run"))
    days = on("b").parent
    assert [each.name for each in published_in(days)] == ["2024-05-20.parquet", "run"]
    assert not days.exists()
    assert [each.name for each in bring_all(days, "r*")] == ["run"]
    assert (days / "run" / "rows").read_text() == "1"
    assert [each.name for each in pull_all(days)] == ["2024-05-20.parquet", "run"]
    assert bring(days / "none").exists() is False


def test_in_a_local_folder_the_file_itself_is_all_there_is(tmp_path: Path) -> None:
    file = tmp_path / "elsewhere" / "day.parquet"
    write(file, "one")
    write(file, "two", after=0)
    assert (pull(file), file.read_text(), pull_all(file.parent)) == (0, "two", [file])
    withdraw(file)
    assert list(file.parent.iterdir()) == []
