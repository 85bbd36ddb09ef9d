"""A contract of clicks for the tests of its reader, and how they change it."""

import pytest
import yaml

from transformations.contracts import ContractError, read_contract

SOURCE = ("schema", 0, "customProperties")
CLICKS = """
apiVersion: v3.1.0
kind: DataContract
id: clicks
version: 1.0.0
status: active
team:
  name: web
schema:
  - name: clicks
    logicalType: object
    description: One click of a user
    customProperties:
      - { property: eventTime, value: clicked_at }
      - { property: timestampZone, value: Europe/Berlin }
      - { property: businessDayZone, value: America/New_York }
      - { property: delivery, value: append }
    relationships:
      - { from: [clicks.user_id, clicks.page], to: [pages.user_id, pages.name] }
    properties:
      - name: page
        logicalType: string
        description: The page
        required: true
        primaryKey: true
        primaryKeyPosition: 2
      - name: user_id
        logicalType: integer
        description: The user
        required: true
        primaryKey: true
        primaryKeyPosition: 1
        relationships:
          - { to: users.id, customProperties: [{ property: missingAllowed, value: 17 }] }
      - { name: clicked_at, logicalType: timestamp, description: When, required: true }
      - name: price
        logicalType: number
        description: What the click cost
        logicalTypeOptions: { minimum: 0, maximum: 9.5 }
        customProperties: [{ property: unit, value: EUR }]
      - name: kind
        logicalType: string
        description: Which kind
        quality:
          - { type: text, description: Free words are for people }
          - { type: library, metric: invalidValues, arguments: { validValues: [left, right] }, mustBe: 0 }
"""


def change(folder, *path: object, value: object) -> None:
    """Set one key of the contract file; None removes it."""
    document = yaml.safe_load((folder / "clicks.yaml").read_text())
    target = document
    for step in path[:-1]:
        target = target[step]
    if value is None:
        del target[path[-1]]
    else:
        target[path[-1]] = value
    (folder / "clicks.yaml").write_text(yaml.safe_dump(document))


def complaint(folder) -> str:
    with pytest.raises(ContractError) as error:
        read_contract("clicks", folder)
    assert error.value.exit_code == 2
    return str(error.value)
