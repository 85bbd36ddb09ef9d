"""What a server says of itself in the registry's database: that it is there, which events it follows, what it saw."""

from __future__ import annotations

from dataclasses import dataclass

from transformations.models.rollout.board import Board
from transformations.models.rollout.control.controller import controller_of
from transformations.models.rollout.presence import Presence
from transformations.models.rollout.tables import RolloutTables
from transformations.models.serving.following import Follower
from transformations.models.serving.second import Second

_TURN_POLLS = 5
"""Polls for which the server that decides keeps its turn."""


@dataclass(frozen=True, kw_only=True)
class Reporter:
    """Reports for one process. name: that no other process has."""

    follower: Follower
    second: Second
    tables: RolloutTables
    name: str

    @classmethod
    def of(cls, follower: Follower, second: Second, name: str) -> Reporter:
        """The reporter of a follower, to the database of its log."""
        tables = RolloutTables(follower.log.project, follower.log.url)
        return cls(follower=follower, second=second, tables=tables, name=name)

    def report(self) -> None:
        """Say which events are followed and what was seen; and, where the settings want that, decide in turn.

        Call it from a thread: it waits for the database.
        """
        follower = self.follower
        presence, settings = Presence(self.tables), follower.settings
        moment = follower.clock()
        for name, model in list(follower.models.items()):
            presence.beat(name, self.name, len(model.events), follower.trouble.get(name, ""))
        routes = {name: model.route(moment) for name, model in list(follower.models.items())}
        self.second.flush(Board(self.tables), moment, {name: route.event for name, route in routes.items()})
        if not settings.predict_decides:
            return
        controller = controller_of(follower.log, settings, who=self.name, clock=follower.clock)
        for name, route in routes.items():
            if route.candidate is not None:
                controller.step_in_turn(name, self.name, _TURN_POLLS * settings.predict_poll_seconds)

    def leave(self) -> None:
        """Say that this process has ended."""
        presence = Presence(self.tables)
        for name in self.follower.models:
            presence.leave(name, self.name)
