"""What belongs to several sources is shown in the zone that they share."""

from pathlib import Path

from transformations.contracts.zones import zone_of_sources

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
      - {{property: businessDayZone, value: {day_zone}}}
      - {{property: delivery, value: append}}
      {more}
    properties:
      - {{name: id, logicalType: integer, required: true, primaryKey: true, description: The row}}
      - {{name: at, logicalType: timestamp, required: true, description: When}}
"""


def write(folder: Path, name: str, *properties: str, day_zone: str = "UTC") -> None:
    more = "\n      ".join(f"- {{property: {each}}}" for each in properties)
    (folder / f"{name}.yaml").write_text(CONTRACT.format(name=name, more=more, day_zone=day_zone))


def test_of_several_sources_those_count_that_declare_a_zone(tmp_path: Path):
    write(tmp_path, "sales", "eventTime, value: at", "timestampZone, value: Europe/Berlin")
    write(tmp_path, "returns", "eventTime, value: at", "timestampZone, value: Europe/Berlin")
    write(tmp_path, "visits", "eventTime, value: at", "timestampZone, value: Asia/Kolkata")
    write(tmp_path, "records", 'validFrom, value: "2024-01-01T00:00:00Z"')
    assert zone_of_sources(["sales", "returns", "records", "no_such_source"], tmp_path) == "Europe/Berlin"
    assert zone_of_sources(["sales", "visits"], tmp_path) == "UTC"
    assert zone_of_sources(["records", "no_such_source"], tmp_path) == "UTC"
    assert zone_of_sources([], tmp_path) == "UTC"


def test_where_none_declares_a_zone_the_clock_of_their_business_days_counts(tmp_path: Path):
    valid = 'validFrom, value: "2024-01-01T00:00:00Z"'
    write(tmp_path, "planes", valid, day_zone="America/New_York")
    write(tmp_path, "airports", valid, day_zone="America/New_York")
    write(tmp_path, "depots", valid, day_zone="Asia/Tokyo")
    assert zone_of_sources(["planes", "airports"], tmp_path) == "America/New_York"
    assert zone_of_sources(["planes", "depots"], tmp_path) == "UTC"
