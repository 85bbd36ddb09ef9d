"""The texts of `features new`, with $names to fill in."""

from string import Template

COUNT = """\
        Count(name="events", description="Events", unit="events", expect=at_least(0)),"""

AGGREGATION = Template("""\
        $aggregation(
            "$column",
            name="$name",
            description=$description,
            unit=$unit,
            expect=$expect,
        ),""")

ATTRIBUTE = Template("""\
        Attribute(
            "$column",
            name="$name",
            description=$description,
            unit=$unit,$expect
        ),""")

WINDOWED = Template('''\
"""Features of $article $entity_words."""

from transformations import $imports

$view = WindowedFeatures(
    name="$view",
    join_key="$join_key",
    source="$source",
    windows=[days(7), days(28)],
    available_after=hours(2),
    description="What happened to $article $entity_words",
    features=[
$features
    ],
)
''')

PLAIN = Template('''\
"""Features of $article $entity_words."""

from transformations import $imports

$view = PlainFeatures(
    name="$view",
    join_key="$join_key",
    source="$source",
    available_after=hours(2),
    description="What is known of $article $entity_words",
    features=[
$features
    ],
)
''')

VIEWS = Template('''\
"""What is offered of $title: entity, views, owner."""

from feast import Entity, ValueType

from transformations import $domain
from transformations.stores.views import feature_view

$entity_variable = Entity(
    name="$entity",
    join_keys=["$join_key"],
    value_type=ValueType.$value_type,
    description=$key_description,
    owner="$owner",
)

$view = feature_view($domain.$view, entity=$entity_variable, owner="$owner")
''')

VIEWS_OF_KNOWN_ENTITY = Template('''\
"""What is offered of $title: views, owner."""

from $module import $entity_variable

from transformations import $domain
from transformations.stores.views import feature_view

$view = feature_view($domain.$view, entity=$entity_variable, owner="$owner")
''')

TEST = Template('''\
"""What the features of $article $entity_words mean, by literal events."""

$imports

FIRST = date(2024, 5, 1)  # of the first event; the second comes a day later
EVENTS = """
$table"""


def test_events_are_counted_until_they_leave_the_window() -> None:
    for name, days in windows_of($view, "events"):
        events = as_of($view, name, EVENTS)
        asked = [FIRST + timedelta(after) for after in (0, 1, 2, days + 1, days + 2)]
        both = 2 if days > 1 else 1
        assert [events($key, day) for day in asked] == [None, 1, both, 1, 0]
$measured''')

TEST_OF_MEASURE = Template("""

def test_${name}_is_${how}_over_the_window() -> None:
    for name, days in windows_of($view, "$name"):
        value = as_of($view, name, EVENTS)
        asked = [FIRST + timedelta(after) for after in (0, 1, 2, days + 1, days + 2)]
        both = $both if days > 1 else $second
        assert [value($key, day) for day in asked] == [None, $first, both, $second, $quiet]
""")

SERVICE = Template('''\
"""The features that $service reads, in training and online alike."""

$imports

$service = FeatureService(
    name="$service",
    features=[$view],
    owner="$owner",
    description="What $service reads of $article $entity_words",
)
''')

DATASET = Template("""\
# A first dataset of $service: each event as a moment to predict at. Write the label that you mean, then make it:
#   features dataset create feature_repo/datasets/$service.yaml
description: Moments of $article $entity_words, and whether anything happens to it in the 7 days after
feature_service: $service

spine:
  query: |
    WITH events AS (
        SELECT $join_key, $moment AS happened_at FROM raw.$source
    ),
    moments AS (
        SELECT DISTINCT $join_key, happened_at AS event_timestamp FROM events
    )
    SELECT
        $join_key,
        event_timestamp,
        EXISTS (
            SELECT * FROM events
            WHERE events.$join_key = moments.$join_key
                AND happened_at > event_timestamp
                AND happened_at < event_timestamp + INTERVAL 7 DAY
        ) AS returns_7d
    FROM moments

label:
  column: returns_7d
  horizon: 7 days

split:          # each begins at the start of its day and ends where the next one begins; $split_reason
  train: $train
  validation: $validation
  test: $test
  zone: $zone

seed: 1
""")

PLAIN_TEST = Template('''\
"""What the features of $article $entity_words mean, by literal records."""

$imports

RECORDS = """
$table"""


$tests''')

TEST_OF_ATTRIBUTE = Template("""\
def test_${name}_is_known_from_the_day_after_its_record_on() -> None:
    value = as_of($view, "$name", RECORDS)
    assert [value($key, day) for day in ("2024-05-01", "2024-05-02")] == [None, $value]
""")

CONTRACT = Template("""\
apiVersion: v3.1.0
kind: DataContract
id: ${entity}-events
name: Events of a $entity_words
version: 1.0.0
status: draft
description:
  purpose: A first contract, to be replaced by that of your own data
  usage: Features of a $entity_words
  limitations: None known
team:
  name: $domain
schema:
  - name: ${entity}_events
    logicalType: object
    physicalType: file
    description: One thing that happened to a $entity_words
    dataGranularityDescription: One row per event
    customProperties:
      - property: eventTime
        value: event_timestamp
      - property: timestampZone
        value: UTC
      - property: businessDayZone
        value: UTC
      - property: delivery
        value: append
    properties:
      - name: event_id
        logicalType: string
        physicalType: VARCHAR
        description: The event
        required: true
        primaryKey: true
        primaryKeyPosition: 1
      - name: ${entity}_id
        logicalType: integer
        physicalType: BIGINT
        description: The $entity_words
        required: true
      - name: amount
        logicalType: number
        physicalType: DOUBLE
        description: How much
        required: true
        logicalTypeOptions: { minimum: 0 }
        customProperties:
          - property: unit
            value: units
      - name: event_timestamp
        logicalType: timestamp
        physicalType: TIMESTAMP
        description: The moment of the event, in UTC
        required: true
""")
