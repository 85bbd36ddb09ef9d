"""Lines of the record: the same bytes as pydantic writes, for whatever a feature can be."""

from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from transformations.engine.base.moments import instant_to_micros
from transformations.models.predictions.lines import Scored, record_lines
from transformations.models.records.predictions import PredictionRecord, ServedFeature, ServedView

MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | FLOATS | st.text()
FEATURES = st.builds(
    ServedFeature,
    value=VALUES,
    status=st.sampled_from(["PRESENT", "NULL_VALUE", "NOT_FOUND", "OUTSIDE_MAX_AGE"]),
    row_timestamp=st.none() | MOMENTS,
)
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
        features={name: [of.value] for name, of in record.features.items()},
        states=[tuple((of.status, micros(of.row_timestamp)) for of in record.features.values())],
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
