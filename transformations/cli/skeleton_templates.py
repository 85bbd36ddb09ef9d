"""The texts of `features new`, with $names to fill in."""

from string import Template

COUNT = """\
        Count(name="events", description="Events", unit="events", expect=at_least(0)),"""

SUM = Template("""\
        Sum(
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

from entities import $entity_variable

from transformations import $domain
from transformations.stores.views import feature_view

$view = feature_view($domain.$view, entity=$entity_variable, owner="$owner")
''')

TEST = Template('''\
"""What the features of $article $entity_words mean, by literal events."""

$imports

DAYS = ("2024-05-01", "2024-05-02", "2024-05-03", "2024-05-09", "2024-05-10")
EVENTS = """
$table"""


def test_events_are_counted_until_they_are_a_week_old() -> None:
    events = as_of($view, "events_count_7d", EVENTS)
    assert [events($key, day) for day in DAYS] == [None, 1, 2, 1, 0]
$sums''')

TEST_OF_SUM = Template("""

def test_${name}_is_summed_over_a_week() -> None:
    total = as_of($view, "${name}_sum_7d", EVENTS)
    assert [total($key, day) for day in DAYS] == [$values]
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
