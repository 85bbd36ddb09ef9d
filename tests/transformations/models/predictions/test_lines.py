"""Lines of the record: the same bytes as pydantic writes, for whatever a feature can be."""

import json
from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from transformations.engine.base.moments import instant_to_micros
from transformations.models.predictions.lines import Scored, feature_texts, record_lines
from transformations.models.records.predictions import PredictionRecord, ServedFeature, ServedView

MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | FLOATS | st.text()
STATUSES = st.sampled_from(["PRESENT", "NULL_VALUE", "NOT_FOUND", "OUTSIDE_MAX_AGE"])
FEATURES = st.builds(
    ServedFeature,
    value=VALUES,
    status=STATUSES,
    row_timestamp=st.none() | MOMENTS,
)
ROWS = st.lists(st.tuples(FEATURES, FEATURES, FEATURES), min_size=1, max_size=4)
NAMES = st.text(min_size=1, max_size=8)
RECORDS = st.builds(
    PredictionRecord,
    id=st.text(min_size=1, max_size=40),
    request_timestamp=MOMENTS,
    model=st.just("returns"),
    version=st.integers(1, 9),
    artifact=st.just("0" * 64),
    role=st.sampled_from(["production", "canary", "shadow"]),
    event=st.none() | st.integers(1, 99),
    as_of=st.none(),
    keys=st.dictionaries(NAMES, VALUES, max_size=2),
    request=st.dictionaries(NAMES, VALUES, max_size=2),
    features=st.dictionaries(NAMES, FEATURES, max_size=3),
    views=st.dictionaries(
        NAMES,
        st.builds(ServedView, table_version=st.none() | st.integers(0, 99), loaded_through=st.none() | MOMENTS),
        max_size=2,
    ),
    score=FLOATS,
    decision=st.none() | st.booleans(),
    holdout=st.booleans(),
    degraded=st.booleans(),
    answered=st.just(True),
    latency_seconds=st.none() | st.floats(0, 10),
)


def micros(moment: datetime | None) -> int | None:
    return None if moment is None else instant_to_micros(moment)


@settings(max_examples=40, deadline=None)
@given(RECORDS)
def test_a_line_is_what_pydantic_writes(record: PredictionRecord) -> None:
    scored = Scored(
        model=record.model,
        version=record.version,
        artifact=record.artifact,
        role=record.role,
        event=record.event,
        request_timestamp=record.request_timestamp,
        ids=[record.id],
        keys={name: [value] for name, value in record.keys.items()},
        request={name: [value] for name, value in record.request.items()},
        features=feature_texts(
            {name: [of.value] for name, of in record.features.items()},
            [tuple(of.status for of in record.features.values())],
            [[micros(of.row_timestamp)] for of in record.features.values()],
        ),
        views=record.views,
        scores=[record.score],
        decisions=None if record.decision is None else [record.decision],
        holdout=[record.holdout],
        degraded=record.degraded,
        latency_seconds=record.latency_seconds,
    )

    (line,) = record_lines(scored)

    assert line.decode() == record.line()
    assert PredictionRecord.model_validate_json(line) == record


@settings(max_examples=40, deadline=None)
@given(ROWS)
def test_of_rows_that_were_read_together_each_has_its_own_features(rows: list[tuple[ServedFeature, ...]]) -> None:
    columns = list(zip(*rows, strict=True))
    shared = [micros(each.row_timestamp) for each in columns[0]]  # two features of one view, one of another
    own = [micros(each.row_timestamp) for each in columns[2]]

    found = feature_texts(
        {name: [each.value for each in column] for name, column in zip("abc", columns, strict=True)},
        [tuple(each.status for each in row) for row in rows],
        [shared, shared, own],
    )

    for text, (one, two, three) in zip(found, rows, strict=True):
        expected = {"a": one, "b": two.model_copy(update={"row_timestamp": one.row_timestamp}), "c": three}
        assert json.loads(text) == {name: json.loads(each.model_dump_json()) for name, each in expected.items()}
