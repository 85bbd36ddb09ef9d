"""What belongs to several sources is shown in the zone that they share."""

from pathlib import Path

import pytest

from transformations.engine.base.settings import Settings
from transformations.insight.moments import shared_zone, zone_of_sources


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
