"""Whether a server can answer: its models loaded and warm, the registry read once, Redis there."""

from __future__ import annotations

from dataclasses import dataclass

from transformations.engine.base.errors import FeaturesError
from transformations.models.predictions.recorder import Recorder
from transformations.models.serving.following import Follower
from transformations.stores.server.watch import Watch


@dataclass(frozen=True)
class Readiness:
    """Looks at all that a server needs."""

    follower: Follower
    watch: Watch
    recorder: Recorder

    def reasons(self) -> list[str]:
        """Why requests should not be sent here; none where they should. Asks Redis: call it from a thread.

        A registry that went away after all was loaded is none: the last state answers. Neither is a Redis that does
        not answer, where every model goes on without it.
        """
        follower = self.follower
        reasons = [] if follower.looked is not None else ["The log of models was not read yet."]
        waiting = [name for name in follower.names if name not in follower.models]
        reasons += [f"Model {name} is not loaded: {follower.reason(name)}" for name in waiting]
        if self.recorder.fault:
            reasons.append(f"Predictions cannot be recorded: {self.recorder.fault}")
        try:
            self.watch.ask_redis()
        except FeaturesError as error:
            if waiting or not all(self._goes_on(name) for name in follower.names):
                reasons.append(error.message)
        return reasons

    def _goes_on(self, name: str) -> bool:
        model = self.follower.models[name]
        route = model.route(self.follower.clock())
        return all(model.served[number].has_fallback for number in route.versions)
