"""Following the commands that `features status` names ends, from any state, with nothing left to do."""

from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.worlds.sales import SALES, USER_SALES
from transformations.engine.base.business_days import day_number, start_of_day
from transformations.engine.raw.zone import RawFile, RawSnapshot
from transformations.engine.vocabulary.resolution import Resolved, resolve
from transformations.insight.freshness import OfflineFreshness, State, ViewFreshness, standing
from transformations.insight.standing import next_commands
from transformations.stores.redis.loaded import Loaded

FIRST = date(2020, 1, 1)
NOW = datetime(2020, 2, 1, 6, 30, tzinfo=UTC)


@dataclass
class Project:
    """Some views with a source each, and what the commands make of them: as the real ones do, without computing."""

    views: dict[str, "View"]
    now: datetime = NOW

    def freshness(self) -> list[ViewFreshness]:
        return [view.freshness(self.now) for view in self.views.values()]

    def next_commands(self) -> list[str]:
        found = self.freshness()
        built = [view.offline for view in self.views.values() if view.offline]
        moment = min(each.available_from for each in built) if len(built) == len(self.views) else None
        return next_commands(found, moment, self.now)

    def follow(self, command: str) -> None:
        self.now += timedelta(seconds=1)
        words = command.split()
        if words[:2] == ["features", "build"]:
            for name in words[2:] or self.views:
                self.views[name].build()
        elif words[:4] == ["feast", "-c", "feature_repo", "apply"]:
            for view in self.views.values():
                view.hash_applied = view.resolved.hash
        elif words[3] == "materialize":
            end = datetime.fromisoformat(words[5]).replace(tzinfo=UTC)
            for name in words[7::2] or self.views:
                view = self.views[name]
                assert view.offline is not None
                view.online = Loaded(version=view.offline.version, end=min(end, self.now), rows=1)


@dataclass
class View:
    """A view's source, its table and what is loaded. row: days from the last complete one to the newest row's as-of
    day: 1 where its values change on that very day, more where days were taken back.
    """

    resolved: Resolved
    through: int | None
    first_row: int | None
    version: int
    row: int
    offline: OfflineFreshness | None = None
    hash_applied: str | None = None
    online: Loaded | None = None
    is_online: bool = field(default=True)

    @property
    def snapshot(self) -> RawSnapshot:
        first = None if self.first_row is None else day_number(FIRST) + self.first_row
        parts = () if first is None else (RawFile(path="x", drop=1, rows=1, first_day=first, last_day=first + 20),)
        return RawSnapshot(source="sales", version=self.version, parts=parts, drops=(), complete_through=self.complete)

    @property
    def complete(self) -> date | None:
        return None if self.through is None else FIRST + timedelta(days=self.through)

    def build(self) -> None:
        """As `engine.build`: nothing where no day is both complete and has had a row before."""
        if self.complete is None or self.first_row is None or self.through < self.first_row:
            return
        zone = self.resolved.zone
        version = 0 if self.offline is None else self.offline.version + 1
        row = start_of_day(self.complete + timedelta(days=self.row), zone) + timedelta(hours=2)
        self.offline = OfflineFreshness(
            version=version,
            changed=version,
            definition_hash=self.resolved.hash,
            first_as_of=FIRST,
            complete_through=self.complete,
            available_from=start_of_day(self.complete + timedelta(days=1), zone) + timedelta(hours=2),
            newest_row=row if row <= NOW else None,
            sources={"sales": self.version},
            rows=1,
            size_bytes=1,
        )

    def freshness(self, now: datetime) -> ViewFreshness:
        sources = {"sales": self.snapshot}
        online = self.online if self.is_online else ...
        state, command = standing(
            self.resolved,
            sources,
            self.complete,
            offline=self.offline,
            hash_applied=self.hash_applied,
            online=online,
            now=now,
        )
        return ViewFreshness(
            view=self.resolved.name,
            state=state,
            command=command,
            sources={},
            source_complete_through=self.complete,
            offline=self.offline,
            online=self.online,
        )


@st.composite
def views(draw: st.DrawFn, name: str) -> View:
    """A view in any state: its table and its load may be of other days, versions and definitions than its source."""
    resolved = resolve(replace(USER_SALES, name=name), {"sales": SALES}.__getitem__)
    days = st.one_of(st.none(), st.integers(0, 30))
    view = View(resolved, draw(days), draw(days), draw(st.integers(0, 3)), draw(st.sampled_from([-3, 0, 1, 5])))
    view.is_online = draw(st.booleans())
    if draw(st.booleans()):
        view.build()
    if view.offline and draw(st.booleans()):
        view.online = Loaded(
            version=draw(st.integers(0, 1)), end=NOW - timedelta(days=draw(st.integers(0, 30))), rows=1
        )
    if view.offline and draw(st.booleans()):
        view.offline = replace(view.offline, definition_hash=draw(st.sampled_from([resolved.hash, "another"])))
    view.hash_applied = draw(st.sampled_from([None, "another", resolved.hash]))
    view.version += draw(st.integers(0, 1))
    view.through = draw(days)
    return view


@settings(max_examples=300, deadline=None)
@given(views("sales_a"), views("sales_b"), views("sales_c"))
def test_following_the_commands_ends_with_nothing_to_do(first: View, second: View, third: View) -> None:
    project = Project({view.resolved.name: view for view in (first, second, third)})
    for _ in range(4):
        commands = [command for command in project.next_commands() if not command.startswith("features ingest")]
        for command in commands:
            project.follow(command)
        if not commands:
            break
    assert not commands
    waiting = (State.SOURCE_INCOMPLETE, State.UP_TO_DATE)
    assert {view.state for view in project.freshness()} <= set(waiting)


def test_views_whose_sources_end_on_different_days_are_loaded_by_one_command() -> None:
    """A load that ends where the view that is behind ends leaves the newest rows of the other out, for ever."""
    resolved = [resolve(replace(USER_SALES, name=name), {"sales": SALES}.__getitem__) for name in ("early", "late")]
    project = Project({each.name: View(each, day, 0, 0, 1) for each, day in zip(resolved, (3, 12), strict=True)})
    for command in ("features build", "feast -c feature_repo apply"):
        assert project.next_commands() == [command]
        project.follow(command)
    load = "feast -c feature_repo materialize 1970-01-01T00:00:00 2020-01-14T07:00:00"
    assert project.next_commands() == [load]
    project.follow(load)
    assert project.next_commands() == []
