"""Makes a version's baseline: from the pinned dataset that it learned from, once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from transformations.datasets.registration import join_keys
from transformations.engine.base.business_days import day_of_number, start_of_day
from transformations.engine.base.errors import DataError, UsageError, nearest
from transformations.engine.base.moments import MICROSECOND, instant_to_micros
from transformations.engine.base.settings import Settings
from transformations.engine.tables.offline_tables import OfflineTable
from transformations.engine.vocabulary.columns import one_array
from transformations.models.batch.population import day_zone
from transformations.models.checking.growing import Growing, growing
from transformations.models.declaration.monitoring import ModelMonitoring
from transformations.models.fitting.reference import histogram
from transformations.models.records.base import canonical_text, text_hash
from transformations.models.records.reference import Histogram, Reference
from transformations.models.scoring.artifact import Artifact
from transformations.models.scoring.inputs import cast_inputs, numbers
from transformations.models.scoring.predict import predict
from transformations.models.training import Pinned
from transformations.monitoring.reading.calendars import ORDINARY, Calendar, Calendars, state_on
from transformations.monitoring.reading.config import DAYS, Monitoring
from transformations.monitoring.reading.limits import drawn_limits
from transformations.monitoring.reading.records import SCORE, Baseline, Compared, Limits, Question, Way
from transformations.monitoring.statistics.draws import LEAST_ALIKE, Blocks, Integers
from transformations.monitoring.statistics.layout import Layout

RATE_BINS = 8
"""Of rates: counts divided by the same number of days fall on a lattice, which many bins would cut up."""
_QUESTIONS = 6
"""Over which false alerts are shared out: day, earlier, week, scores; and of stored values, day and earlier."""
_MONDAY = 3  # 1970-01-01 was a Thursday
_DAY = 86_400_000_000
_WAYS: Mapping[str, tuple[Way, str]] = {
    "adds up": ("as a rate", "adds up over a lifetime"),
    "extends": ("with earlier weeks", "an extreme over a lifetime"),
    "settles": ("with earlier weeks", "a mean or share over a lifetime, which settles"),
    "ages": ("not compared", "an age, which grows with the clock"),
}


@dataclass(frozen=True, kw_only=True)
class Learned:
    """A version with all that its baseline is made of. declared: how its model is watched."""

    model: str
    number: int
    artifact: Artifact
    reference: Reference
    dataset: Pinned
    declared: ModelMonitoring
    entity: str


def make_baseline(learned: Learned, config: Monitoring, settings: Settings, known: Sequence[Baseline] = ()) -> Baseline:
    """Compute a baseline. known: those of other versions, whose limits hold here, too, where they come from the same
    rows of the same inputs. UsageError where the model's `monitoring` names an input that it does not take.
    """
    _refuse_unknown(learned, config)
    train = learned.dataset.rows("train")
    moments = _moments(train, learned)
    ways = dict(_ways(learned, moments, settings))
    columns = cast_inputs(train, learned.artifact.manifest.scores.inputs)
    values = {name: as_compared(columns[name], each, moments) for name, each in ways.items()}
    inputs = {
        name: each.model_copy(update={"bins": histogram(numbers(values[name]), RATE_BINS)})
        if each.way == "as a rate"
        else each
        for name, each in ways.items()
    }
    layout = Layout({name: each.bins for name, each in inputs.items() if each.way != "not compared"})
    days = moments // _DAY
    followed = {name: each.state for name, each in inputs.items() if each.state is not None and name in layout.names}
    of_days = Blocks(
        layout=layout,
        codes=layout.codes(values),
        entities=_entities(train, learned),
        blocks=days,
        period=7,
        states={name: _states(state, train, days, config.calendars) for name, state in followed.items()},
    )
    of_scores = _score_blocks(learned, config.calendars)
    calendar = config.calendars.get(learned.declared.follows or "", {})
    rate = config.false_alerts / DAYS / _QUESTIONS
    setting = setting_of(learned.declared, config)
    reference = learned.dataset.hash, learned.entity, setting, inputs
    twins = (each for each in known if (each.dataset_hash, each.entity, each.setting, each.inputs) == reference)
    twin = next(twins, None)
    return Baseline(
        model=learned.model,
        version=learned.number,
        artifact=learned.artifact.id,
        dataset_hash=learned.dataset.hash,
        made_at=settings.now(),
        rows=train.num_rows,
        days=len(of_days.numbers),
        inputs=inputs,
        scores=learned.reference.scores,
        entity=learned.entity,
        limits=twin.limits if twin else _limits(of_days, inputs, learned.declared, rate, config),
        score_limits={"day": drawn_limits(_drawn(of_scores, calendar), "day", set(), rate, config)},
        changed=_changed(layout, train, learned, days),
        calendars={name: each for name, each in config.calendars.items() if name in {*followed.values()}},
        score_state=learned.declared.follows,
        states={
            name: {state: tuple(blocks.layout.of(name, each)) for state, each in blocks.by_state(name).items()}
            for blocks in (of_days, of_scores)
            for name in blocks.states
        },
        setting=setting,
    )


def _limits(
    of_days: Blocks, inputs: Mapping[str, Compared], declared: ModelMonitoring, rate: float, config: Monitoring
) -> dict[Question, tuple[Limits, ...]]:
    """By question the limits of all inputs; of the week only where the reference has more days than weeks."""
    calendar = config.calendars.get(declared.follows or "", {})
    drawn, of_weeks = _drawn(of_days, calendar), _weeks(of_days, calendar)
    slow = {name for name, each in inputs.items() if each.way == "with earlier weeks"}
    found: dict[Question, tuple[Limits, ...]] = {"day": drawn_limits(drawn, "day", slow, rate, config)}
    if earlier := drawn_limits(drawn, "earlier", set(), rate, config):
        found["earlier"] = earlier
    if len(of_days.numbers) > len(of_weeks.numbers):
        found["week"] = drawn_limits(of_weeks, "day", slow | {*declared.calendar}, rate, config)
    return found


def setting_of(declared: ModelMonitoring, config: Monitoring) -> str:
    """The hash of what a baseline depends on beside its version: another one has to be made where it differs."""
    return text_hash(
        canonical_text(
            {
                "way": 4,
                "draws": config.draws,
                "seed": config.seed,
                "false_alerts": config.false_alerts,
                "least_rows": config.least_rows,
                "leave_out": list(declared.leave_out),
                "growing": list(declared.growing),
                "calendar": dict(declared.calendar),
                "follows": declared.follows,
                "calendars": config.model_dump(mode="json")["calendars"],
            }
        )
    )


def as_compared(column: pa.Array, compared: Compared, moments: Integers) -> pa.Array:
    """A column as it is counted: itself, or by day since its origin."""
    if compared.way != "as a rate" or compared.origin is None:
        return column
    passed = (moments - instant_to_micros(compared.origin)) / _DAY
    return pa.array(numbers(column) / np.where(passed > 0, passed, np.nan), from_pandas=True)


def states_of(column: pa.Array, days: Integers) -> dict[int, str]:
    """By day the calendar's state: the value that most of its rows have, the first in order among equals."""
    texts = np.asarray(column.cast(pa.string()).fill_null("null").to_numpy(zero_copy_only=False), dtype=np.str_)
    found = {}
    for day in np.unique(days):
        names, counts = np.unique(texts[days == day], return_counts=True)
        found[int(day)] = str(names[int(counts.argmax())])
    return found


def _states(state: str, rows: pa.Table, days: Integers, calendars: Calendars) -> dict[int, str]:
    """By day its state: what its calendar says, or what most of its rows have."""
    if state in calendars:
        return {int(day): state_on(calendars[state], day_of_number(int(day))) for day in np.unique(days)}
    return states_of(one_array(rows[state]), days)


def _drawn(blocks: Blocks, calendar: Calendar) -> Blocks:
    """The days that limits come from. Those of a calendar's rare states go, since no such day is judged by its values;
    what then has one state alone is compared like anything else.
    """
    of_days = {int(day): state_on(calendar, day_of_number(int(day))) for day in blocks.numbers}
    number = Counter(of_days.values())
    drawn = [day for day, state in of_days.items() if number[state] >= LEAST_ALIKE]
    states = {name: each for name, each in blocks.states.items() if len({each[day] for day in drawn}) > 1}
    return _of(blocks, drawn, states)


def _weeks(blocks: Blocks, calendar: Calendar) -> Blocks:
    """The weeks of the ordinary days."""
    drawn = [int(day) for day in blocks.numbers if state_on(calendar, day_of_number(int(day))) == ORDINARY]
    weekly = _of(blocks, drawn, {})
    return replace(weekly, blocks=(weekly.blocks + _MONDAY) // 7, period=1)


def _of(blocks: Blocks, drawn: Sequence[int], states: Mapping[str, Mapping[int, str]]) -> Blocks:
    is_drawn = np.isin(blocks.blocks, drawn)
    if not is_drawn.any():
        raise DataError("the calendar that the model follows leaves no day of the train split to compare with.")
    return replace(
        blocks,
        codes=blocks.codes[is_drawn],
        entities=blocks.entities[is_drawn],
        blocks=blocks.blocks[is_drawn],
        states=states,
    )


def _ways(learned: Learned, moments: Integers, settings: Settings) -> Iterator[tuple[str, Compared]]:
    declared, moving = learned.declared, growing(learned.dataset.manifest)
    for column in learned.artifact.manifest.scores.inputs:
        name, bins = column.name, learned.reference.features[column.name]
        view = _view_of(learned, name)
        state = declared.calendar.get(name, declared.follows)
        moves = moving.get(name) or (Growing(name, "adds up", view or "") if name in declared.growing else None)
        if name in declared.leave_out:
            yield name, Compared(way="not compared", why="left out as declared", bins=bins, view=view)
        elif moves is not None:
            way, why = _WAYS[moves.movement]
            origin = _origin(moves.view, learned, settings) if way == "as a rate" else None
            is_dated = origin is not None and origin < _instant(int(moments.min()))
            if way == "as a rate" and not (is_dated and isinstance(bins, Histogram)):
                way, why, origin = "with earlier weeks", f"{why}, and nothing tells since when", None
            yield name, Compared(way=way, why=why, origin=origin, state=state, bins=bins, view=view)
        else:
            yield name, Compared(way="as is", state=state, bins=bins, view=view)


def _score_blocks(learned: Learned, calendars: Calendars) -> Blocks:
    validation = learned.dataset.rows("validation")
    scores = predict(learned.artifact, validation).scores
    layout = Layout({SCORE: learned.reference.scores})
    days, follows = _moments(validation, learned) // _DAY, learned.declared.follows
    return Blocks(
        layout=layout,
        codes=layout.codes({SCORE: scores}),
        entities=_entities(validation, learned),
        blocks=days,
        period=7,
        states={SCORE: _states(follows, validation, days, calendars)} if follows else {},
    )


def _entities(rows: pa.Table, learned: Learned) -> Integers:
    column = rows[learned.entity].to_numpy(zero_copy_only=False)
    return np.asarray(np.unique(column, return_inverse=True)[1], dtype=np.int64)


def _changed(layout: Layout, train: pa.Table, learned: Learned, days: Integers) -> dict[str, float]:
    """By input the least share of keys whose value differs from that of the same weekday a week before."""
    keys = [np.unique(train[name].to_numpy(zero_copy_only=False), return_inverse=True)[1] for name in _keys(learned)]
    inputs = cast_inputs(train, learned.artifact.manifest.scores.inputs)
    order = np.lexsort((_moments(train, learned), days, *keys))
    key_of = np.zeros(len(order), dtype=np.int64)
    for each in keys:
        key_of = key_of * (int(each.max()) + 1) + each
    place = {}
    for row in order:  # the last row of a key's day counts
        place[int(key_of[row]), int(days[row])] = int(row)
    pairs = [(row, place[key, day - 7], day) for (key, day), row in place.items() if (key, day - 7) in place]
    if not pairs:
        return {}
    now, before, day = (np.array(each, dtype=np.int64) for each in zip(*pairs, strict=True))
    found = {}
    for name in layout.names:
        column = inputs[name].dictionary_encode().indices
        values = np.asarray(column.fill_null(-1).to_numpy(zero_copy_only=False))
        differs = values[now] != values[before]
        shares = [differs[day == each].mean() for each in np.unique(day) if (day == each).sum() >= _LEAST_PAIRS]
        if shares:
            found[name] = float(min(shares))
    return found


_LEAST_PAIRS = 30


def _origin(view: str, learned: Learned, settings: Settings) -> datetime | None:
    """The beginning of the first day that a view's table covers; None for a table that is not there, or not ours."""
    table = OfflineTable(settings.offline_dir / view)
    if not view or not table.exists():
        return None
    first = min(run.first_as_of for run in table.runs())
    return start_of_day(first, day_zone(learned.dataset.manifest, settings)) - MICROSECOND * _DAY


def _view_of(learned: Learned, column: str) -> str | None:
    """The view that a column of the dataset comes from; None for a request field."""
    manifest = learned.dataset.manifest
    (service,) = manifest.registry["feature_services"]
    for projection in service["spec"].get("features", ()):
        view: str = projection["feature_view_name"]
        called = projection.get("feature_view_name_alias") or view
        for feature in projection.get("feature_columns", ()):
            name = f"{called}__{feature['name']}" if manifest.config.full_feature_names else feature["name"]
            if name == column:
                return view
    return None


def _refuse_unknown(learned: Learned, config: Monitoring) -> None:
    inputs = [column.name for column in learned.artifact.manifest.scores.inputs]
    declared, calendars = learned.declared, list(config.calendars)
    request = learned.artifact.manifest.facts.declaration.get("request_fields")
    recorded = dict.fromkeys([*_keys(learned), *inputs, *(map(str, request) if isinstance(request, list) else ())])
    states = [*calendars, *(name for name in recorded if name in learned.dataset.columns)]
    named: list[tuple[str, str, Sequence[str]]] = [("leave_out", each, inputs) for each in declared.leave_out]
    named += [("growing", each, inputs) for each in declared.growing]
    named += [("calendar", each, inputs) for each in declared.calendar]
    named += [(f"calendar.{name}", each, states) for name, each in declared.calendar.items()]
    named += [("follows", declared.follows, calendars)] if declared.follows is not None else []
    faults = [_fault(learned, key, name, known) for key, name, known in named if name not in known]
    told = {} if faults else {name: each for name, each in declared.calendar.items() if each not in calendars}
    schema = learned.dataset.rows("train").schema if told else None
    faults += [
        f"{learned.model}.yaml: monitoring.calendar.{name}: {state!r} holds fractions, which are no states. Name a "
        f"text, a whole number or a yes-or-no."
        for name, state in told.items()
        if schema is not None and pa.types.is_floating(schema.field(state).type)
    ]
    if faults:
        raise UsageError("\n".join(faults))


def _fault(learned: Learned, key: str, name: str, known: Sequence[str]) -> str:
    place = f"{learned.model}.yaml: monitoring.{key}"
    if key == "follows":
        return f"{place}: monitoring.yaml has no calendar {name!r}; {nearest(name, known)}."
    if key.startswith("calendar."):
        return f"{place}: neither a calendar nor a column of the records is {name!r}; {nearest(name, known)}."
    return f"{place}: version {learned.number} takes no {name!r}; {nearest(name, known)}."


def _keys(learned: Learned) -> list[str]:
    return list(join_keys(learned.dataset.manifest))


def _moments(rows: pa.Table, learned: Learned) -> Integers:
    column = one_array(rows[learned.dataset.manifest.timestamp])
    if not len(column):
        raise DataError(f"dataset {learned.dataset.manifest.name} has a split without rows: nothing to compare with.")
    return np.asarray(column.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_numpy(), dtype=np.int64)


def _instant(micros: int) -> datetime:
    return datetime.fromtimestamp(micros / 1e6, tz=UTC)
