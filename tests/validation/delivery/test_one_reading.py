"""An ingestion reads its table, its file's types and its log once, however long the log has grown."""

from collections import Counter

from transformations.contracts import read_contract
from transformations.engine.base import commit_log, duck, storage
from transformations.engine.raw.zone import RawTable
from validation.delivery import conforming
from validation.delivery.ingest import Delivery, ingest_drop

from .deliveries import deliver, events


def spy(monkeypatch, calls: Counter, owner: object, name: str) -> None:
    original = getattr(owner, name)

    def call(*arguments, **options):
        calls[name] += 1
        return original(*arguments, **options)

    monkeypatch.setattr(owner, name, call)


def test_a_later_drop_opens_its_table_once_and_reads_every_commit_once(sources, monkeypatch):
    for day in (3, 4, 5):
        deliver(sources, "events", events((day, 1.0, f"2020-01-0{day}")), f"{day}.parquet")
    commit_log.parsed_commit.cache_clear()  # as in a new process
    calls = Counter()
    for owner, name in (
        (storage, "open_table"),
        (commit_log, "actions"),  # a file of the log is parsed
        (duck, "session"),
        (conforming, "conversions_of"),
    ):
        spy(monkeypatch, calls, owner, name)

    assert deliver(sources, "events", events((6, 1.0, "2020-01-06")), "6.parquet").version == 3
    assert calls == {"open_table": 1, "actions": 3 + 1, "session": 1, "conversions_of": 1}


def test_a_word_on_completeness_opens_the_table_once(sources, monkeypatch):
    deliver(sources, "events", events((3, 1.0, "2020-01-03")))
    calls = Counter()
    spy(monkeypatch, calls, storage, "open_table")
    ingest_drop(Delivery("events", None, complete_through=sources.now().date().replace(month=1, day=10)), sources)
    assert calls == {"open_table": 1}


def test_a_drop_published_while_a_file_is_checked_is_neither_lost_nor_overwritten(sources, monkeypatch):
    deliver(sources, "events", events((1, 1.0, "2020-01-03")))
    check = conforming.run_checks

    def overtaken(*arguments, **options):
        monkeypatch.setattr(conforming, "run_checks", check)
        deliver(sources, "events", events((2, 2.0, "2020-01-04"), (3, 3.0, "2020-01-04")), "theirs.parquet")
        return check(*arguments, **options)

    monkeypatch.setattr(conforming, "run_checks", overtaken)
    ours = deliver(sources, "events", events((3, 3.0, "2020-01-04"), (4, 4.0, "2020-01-05")), "ours.parquet")
    assert (ours.drop.number, ours.drop.rows, ours.drop.unchanged) == (3, 1, 1)  # 3 came with theirs
    snapshot = RawTable(read_contract("events", sources.contracts), sources.raw_dir).snapshot()
    assert [(drop.number, drop.file_name) for drop in snapshot.drops] == [
        (1, "drop.parquet"),
        (2, "theirs.parquet"),
        (3, "ours.parquet"),
    ]
