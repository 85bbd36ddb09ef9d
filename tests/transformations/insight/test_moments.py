"""Moments are shown as the clock of a contract's zone shows them."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from transformations.engine.base.settings import Settings
from transformations.insight.moments import shared_zone, shown_moment, zone_of_sources

NOON = datetime(2020, 7, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("moment", "zone", "text"),
    [
        (NOON, "UTC", "2020-07-01 12:00:00 UTC"),
        (NOON, "Europe/Berlin", "2020-07-01 14:00:00 +02:00"),
        (NOON.replace(month=1), "America/New_York", "2020-01-01 07:00:00 -05:00"),
        (NOON.replace(microsecond=250_000), "Asia/Kolkata", "2020-07-01 17:30:00.250000 +05:30"),
    ],
)
def test_a_moment_is_shown_with_its_offset(moment, zone, text):
    assert shown_moment(moment, zone) == text


def test_seconds_may_be_left_out():
    assert shown_moment(NOON, "UTC", seconds=False) == "2020-07-01 12:00 UTC"


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/New_York"])
def test_what_is_shown_of_another_zone_can_be_read_back(zone):
    assert (
        datetime.fromisoformat(shown_moment(NOON, zone).replace(" UTC", "Z").replace(" +", "+").replace(" -", "-"))
        == NOON
    )


@pytest.mark.parametrize(
    ("zones", "zone"),
    [
        (["Europe/Berlin", "Europe/Berlin"], "Europe/Berlin"),
        (["Europe/Berlin", "UTC"], "UTC"),
        (["Europe/Berlin", "Asia/Kolkata"], "UTC"),
        ([], "UTC"),
    ],
)
def test_what_belongs_to_several_sources_is_shown_in_the_zone_that_they_share(zones, zone):
    assert shared_zone(zones) == zone


CONTRACT = """
apiVersion: v3.1.0
kind: DataContract
id: {name}
name: {name}
version: 1.0.0
status: active
team: {{name: web}}
schema:
  - name: {name}
    logicalType: object
    description: One row
    customProperties:
      - {{property: businessDayZone, value: UTC}}
      - {{property: delivery, value: append}}
      {more}
    properties:
      - {{name: id, logicalType: integer, required: true, primaryKey: true, description: The row}}
      - {{name: at, logicalType: timestamp, required: true, description: When}}
"""


def test_of_several_sources_those_count_that_declare_a_zone(settings: Settings, tmp_path: Path):
    berlin = """- {property: eventTime, value: at}
      - {property: timestampZone, value: Europe/Berlin}"""
    records = '- {property: validFrom, value: "2024-01-01T00:00:00Z"}'
    (tmp_path / "sales.yaml").write_text(CONTRACT.format(name="sales", more=berlin))
    (tmp_path / "records.yaml").write_text(CONTRACT.format(name="records", more=records))
    found = settings.model_copy(update={"contracts": tmp_path})
    assert zone_of_sources(["sales", "records", "no_such_source"], found) == "Europe/Berlin"
    assert zone_of_sources(["records", "no_such_source"], found) == "UTC"
