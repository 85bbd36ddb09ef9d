"""A request that another worker has answered before: who answered it stands in the record, and answers it again.

Each worker remembers its own answers. A client that sends a request again says so (`X-Attempt: 2`); a worker that knows
nothing of it looks into the segments of the workers beside it, so that a step of a rollout between two attempts changes
nobody's version. Of records under one id the collector keeps one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from transformations.engine.base.settings import Settings
from transformations.engine.base.words import show_reason
from transformations.models.predictions.segment_reading import records_of_request, segments_in
from transformations.models.predictions.segments import segments_folder
from transformations.models.records.base import Role
from transformations.models.records.predictions import PredictionRecord
from transformations.models.rollout.routing import Route
from transformations.models.serving.following import Followed
from transformations.models.serving.refusals import ReusedIdError
from transformations.models.serving.remembering import REMEMBERED_SECONDS
from transformations.models.serving.requests import Asked, as_values
from transformations.stores.server.throttled_log import ThrottledLog

_throttled = ThrottledLog(logging.getLogger(__name__))


@dataclass(frozen=True, kw_only=True)
class Repeated:
    """How a request was answered before. shares: the rows of each version. event: that routed it."""

    shares: Mapping[int, Sequence[int]]
    roles: Mapping[int, Role]
    event: int | None


def answered_before(model: Followed, asked: Asked, route: Route, settings: Settings) -> Repeated | None:
    """How another worker of this machine has answered a request of late; None where none has, or by a version that the
    present route does not have: what was taken back answers no more. Call it from a thread: it reads files.

    ReusedIdError where the id came with other rows.
    """
    oldest = time.time() - REMEMBERED_SECONDS
    records: list[PredictionRecord] = []
    for segment in reversed(segments_in(segments_folder(settings))):
        try:
            said = records_of_request(segment, asked.id or "") if segment.stat().st_mtime >= oldest else []
        except FileNotFoundError:  # collected in the meantime
            continue
        except (OSError, ValueError) as error:  # of another release, or on a disk that fails: as if nobody had answered
            _throttled.error(f"{segment.name}: cannot be searched for what was answered before ({show_reason(error)})")
            continue
        # One without an event answered a request that named its version: another endpoint, and its own answer.
        records = [each for each in said if each.model == model.name and each.event is not None]
        if records:
            break
    rows = {int(record.id.rpartition("-")[2]): record for record in records}
    if not rows:
        return None
    if rows.keys() != set(range(asked.rows)) or any(not _is_of(rows[row], asked, model, row) for row in rows):
        raise ReusedIdError.of(asked.id or "")
    shares: dict[int, list[int]] = {}
    for row in range(asked.rows):
        shares.setdefault(rows[row].version, []).append(row)
    if not shares.keys() <= {*route.versions}:
        return None
    roles = {record.version: record.role for record in records}
    return Repeated(shares=shares, roles=roles, event=records[0].event)


def _is_of(record: PredictionRecord, asked: Asked, model: Followed, row: int) -> bool:
    shape = model.form.shape
    keys, request = (as_values(asked.columns, given, row) for given in (shape.keys, shape.request))
    return (record.keys, record.request) == (keys, request)
