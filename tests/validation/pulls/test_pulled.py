"""A table elsewhere, pulled: what is new, once, however often a pull is repeated or killed."""

import signal
import textwrap
from datetime import date

import duckdb
import pytest

from tests.worlds.processes import start
from transformations.contracts import ContractError, read_contract
from transformations.engine.base import storage
from transformations.engine.base.errors import DataError, ServiceUnavailableError, UsageError
from transformations.engine.base.settings import Settings
from transformations.engine.raw.zone import RawTable

from .app import App

SECRET = "s3cret-word"


@pytest.fixture(params=["delta", "duckdb", "sqlite"])
def app(request, tmp_path, monkeypatch):
    monkeypatch.setattr(Settings, "project_root", tmp_path)
    monkeypatch.setenv("CLICKS_URL", f"sqlite:///{tmp_path}/app.sqlite")
    return App(tmp_path, request.param)


def test_each_pull_takes_what_is_new_and_late_rows_within_the_overlap_once(app):
    app.put((1, "home", 1), (2, "cart", 5))
    first = app.pull()
    assert (first.delivered, first.drop.rows, app.stored()) == (2, 2, app.expected())
    assert app.pull().drop is None
    app.put((3, "late", 4), (4, "too late", 3), (2, "changed", 6), (5, "new", 7))
    second = app.pull()
    assert (second.drop.rows, second.drop.supersedes) == (3, 1)
    assert app.stored() == [row for row in app.expected() if row[0] != 4]  # committed later than the overlap allows
    app.put((1, "changed", 9))
    assert (app.pull().drop.rows, app.stored()[0]) == (1, (1, "changed"))


def test_a_pull_killed_before_its_commit_is_repeated_as_if_it_had_not_been(app, monkeypatch):
    app.put((1, "home", 1))
    app.pull()
    app.put((2, "cart", 2), (3, "exit", 3))

    def killed(*_arguments, **_options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(storage, "publish", killed)
        with pytest.raises(KeyboardInterrupt):
            app.pull()
    assert app.stored() == [(1, "home")]
    again = app.pull()
    assert (again.drop.rows, app.stored(), again.drop.number) == (2, app.expected(), 2)
    assert app.pull().drop is None


def test_the_watermark_is_in_the_commit_of_the_rows(app):
    app.put((1, "home", 1), (2, "cart", 5))
    drop = app.pull().drop
    contract = read_contract("clicks", app.settings.contracts)
    (recorded,) = RawTable(contract, app.settings.raw_dir).snapshot().drops
    assert recorded.watermark == drop.watermark
    assert '"column": "updated_at", "type": "datetime", "value": "2020-01-03T05:00:00' in drop.watermark


def test_a_table_that_does_not_fit_is_refused_before_a_row_is_stored(app):
    with pytest.raises((DataError, ServiceUnavailableError)):
        app.pull()  # there is no table yet
    app.put((1, "home", 1))
    app.declare(watermark="changed_at")
    with pytest.raises(DataError, match=r"table .* has no column 'changed_at'; .* No row was read"):
        app.pull()
    app.declare(watermark="page", overlap=None)
    with pytest.raises(DataError, match=r"the watermark 'page' is a V.+. Choose a column of times"):
        app.pull()


def test_types_are_compared_before_a_row_is_read(app):
    app.put((1, "home", 1))
    app.declare(types={"id": "boolean", "page": "integer"})
    refused = r"column 'id' of table .* is BIGINT, the contract says Bool: .*; column 'page' of .*No row was read"
    with pytest.raises(DataError, match=refused):
        app.pull()


def test_a_table_that_went_back_to_an_earlier_state_is_read_whole_and_a_note_says_so(app):
    app.put((1, "home", 1), (2, "cart", 9))
    app.pull()
    del app.rows[2]
    app.put((3, "after the restore", 2))
    found = app.pull()
    assert (found.drop.rows, found.drop.unchanged, app.stored()) == (
        1,
        1,
        [(1, "home"), (2, "cart"), (3, "after the restore")],
    )
    (note,) = found.notes
    assert "went back from 2020-01-03 09:00:00" in note
    assert "all rows were read again, and stored rows that are gone there stay" in note
    app.put((4, "later", 4))
    assert (app.pull().drop.rows, app.pull().notes) == (1, ())


def test_an_emptied_table_takes_nothing_back_and_is_noted(app):
    app.put((1, "home", 1))
    app.pull()
    app.empty()
    found = app.pull()
    assert (found.drop, app.stored()) == (None, [(1, "home")])
    assert "has no row now, though rows were pulled from it before; what is stored stays" in found.notes[0]
    app.declare(watermark=None, overlap=None)
    with pytest.raises(DataError, match="has no row, so nothing of it was taken"):
        app.pull()


def test_a_watermark_ahead_of_the_clock_hides_nothing(app):
    app.put((1, "of 2030", 24 * 365 * 10))
    assert '"value": "2020-02-01T00:00:00' in app.pull().drop.watermark
    app.put((2, "of today", 24 * 29))  # the clock's first hour of February
    assert app.pull().drop.rows == 1


def test_a_row_at_the_border_is_found_though_it_is_committed_after_its_twin(app):
    app.declare(overlap=None)
    app.put((1, "home", 5))
    app.pull()
    app.put((2, "same moment", 5))
    assert (app.pull().drop.rows, app.pull().drop) == (1, None)


KILLED = """
    import os, signal
    from pathlib import Path
    import pyarrow.parquet
    from transformations.engine.base import storage
    from transformations.engine.base.settings import Settings
    from validation.delivery.ingest import Delivery, ingest_drop
    Settings.project_root = property(lambda self: Path({folder!r}))

    def die(*_arguments, **_options):
        os.kill(os.getpid(), signal.SIGKILL)

    {sabotage}
    ingest_drop(Delivery("clicks", None), Settings(data={folder!r} + "/data", contracts={folder!r} + "/contracts"))
"""
MOMENTS = [
    "import validation.delivery.ingest as ingest; ingest.open_drop = die",  # the rows are pulled, and not yet checked
    "publish = storage.publish; storage.publish = lambda *a, **k: die(publish(*a, **k))",  # they are stored, not told
]


@pytest.mark.proof
@pytest.mark.parametrize("app", ["duckdb"], indirect=True)
@pytest.mark.parametrize("sabotage", MOMENTS)
def test_a_pull_killed_by_the_system_is_exact_when_it_is_rerun(app, sabotage, monkeypatch):
    app.put((1, "home", 1))
    app.pull()
    app.put((2, "cart", 2), (3, "exit", 3))
    program = textwrap.dedent(KILLED).format(folder=str(app.folder), sabotage=sabotage)
    monkeypatch.setenv("FEATURES_CLOCK", "2020-02-01T00:00:00Z")
    assert start(program, output=app.folder / "killed").wait() == (-signal.SIGKILL, "")
    was_stored = len(app.stored()) == 3
    again = app.pull()
    assert (again.drop is None, app.stored()) == (was_stored, app.expected())
    assert was_stored == ("publish" in sabotage)


def test_a_day_may_be_declared_complete_with_a_pull(app):
    app.put((1, "home", 1))
    assert app.pull(complete_through=date(2020, 1, 5)).complete_through == date(2020, 1, 5)
    assert app.pull(complete_through=date(2020, 1, 6)).complete_through == date(2020, 1, 6)


@pytest.mark.parametrize("app", ["duckdb"], indirect=True)
@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"keyed": False, "delivery": "append"}, "nothing identifies a row, so one read twice would be stored twice"),
        ({"delivery": "replace-partition"}, "only new rows are pulled"),
        ({"watermark": None}, "overlap stands without watermark"),
        ({"overlap": "an hour"}, "overlap is 'an hour'. Write a duration such as PT1H"),
        ({"watermrk": "x"}, "'watermrk' is not known; did you mean 'watermark'"),
        ({"server": {"databse": "x"}}, "databse would not be read; did you mean 'database'"),
    ],
)
def test_a_server_that_cannot_be_pulled_exactly_is_refused(app, said, message):
    app.declare(**said)
    with pytest.raises(ContractError, match=message):
        read_contract("clicks", app.settings.contracts)


@pytest.mark.parametrize("app", ["sqlite"], indirect=True)
def test_the_url_is_in_the_environment_and_in_no_message(app, monkeypatch):
    app.put((1, "home", 1))
    monkeypatch.delenv("CLICKS_URL")
    with pytest.raises(UsageError, match="the environment variable CLICKS_URL is not set"):
        app.pull()
    for url in (f"sqlite:////nowhere/{SECRET}.db", f"nosuchdb://user:{SECRET}@host/x", f"{SECRET} is no url"):
        monkeypatch.setenv("CLICKS_URL", url)
        with pytest.raises((UsageError, ServiceUnavailableError)) as error:
            app.pull()
        assert SECRET not in error.value.message
        assert error.value.__suppress_context__
    app.declare(urlVariable=f"sqlite://{SECRET}")


@pytest.mark.parametrize("app", ["duckdb"], indirect=True)
def test_rows_without_a_watermark_are_refused_for_no_pull_would_find_them(app):
    app.put((1, "home", 1), (2, "cart", 2))
    with duckdb.connect(app.folder / "app.duckdb") as connection:
        connection.execute("UPDATE clicks SET updated_at = NULL WHERE id = 2")
    with pytest.raises(DataError, match="1 rows of table clicks have no updated_at, the watermark"):
        app.pull()
