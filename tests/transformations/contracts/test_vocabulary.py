"""No key of a contract is passed over: it is read, it is documentation, or it is refused with what was meant."""

import json

import pytest
import yaml
from open_data_contract_standard.model import OpenDataContractStandard

from transformations.contracts import ContractError, contract_names, read_contract
from transformations.contracts.document import Node, read_document
from transformations.contracts.vocabulary import (
    COLUMN_LEVEL,
    CONTRACT,
    REFERENCE_LEVEL,
    RULES,
    SOURCE_LEVEL,
    refuse_unknown,
)

COLUMN = ("schema", 0, "properties", 0)

CLICKS = """
apiVersion: v3.1.0
kind: DataContract
id: clicks
version: 1.0.0
team: { name: web }
schema:
  - name: clicks
    description: One click
    customProperties:
      - { property: eventTime, value: at }
      - { property: businessDayZone, value: UTC }
      - { property: delivery, value: append }
    properties:
      - { name: at, logicalType: timestamp, description: When, required: true, quality: [], customProperties: [] }
"""


def complaint(tmp_path, *path: object, value: object) -> str:
    """What the reader says of the contract with one key set."""
    document = yaml.safe_load(CLICKS)
    target = document
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = value
    (tmp_path / "clicks.yaml").write_text(yaml.safe_dump(document))
    with pytest.raises(ContractError) as error:
        read_contract("clicks", tmp_path)
    return str(error.value)


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (
            ("schema", 0, "key"),
            ["at"],
            "clicks.yaml: schema[0].key is unknown. Mark each column of the key with primaryKey",
        ),
        (("schema", 0, "columns"), [], "schema[0].columns is unknown. Write properties."),
        (
            ("schema", 0, "nullTokens"),
            ["NA"],
            "Write it in schema[0].customProperties, as `- { property: nullTokens, value",
        ),
        (("shcema",), [], "clicks.yaml: shcema is unknown. Did you mean 'schema'?"),
        (("team", "nmae"), "web", "team.nmae is unknown. Did you mean 'name'?"),
        (("description",), {"purpos": "x"}, "description.purpos is unknown. Did you mean 'purpose'?"),
        (("support",), [{"chanel": "x"}], "support[0].chanel is unknown. Did you mean 'channel'?"),
        ((*COLUMN, "requird"), True, "schema[0].properties[0].requird is unknown. Did you mean 'required'?"),
        ((*COLUMN, "nullable"), True, "nullable is unknown. Write required: true where no null may come."),
        (
            (*COLUMN, "strptime"),
            "%d",
            "Write it in schema[0].properties[…].customProperties, as `- { property: strptime",
        ),
        ((*COLUMN, "enum"), [{"value": 1}], "properties[0].enum would not be checked. Write quality:"),
        ((*COLUMN, "items"), {}, "properties[0].items would not be checked. Lists are no column of ours."),
        ((*COLUMN, 5), 1, "schema[0].properties[0].5 is no text."),
        (
            (*COLUMN, "quality"),
            [{"type": "text", "mustBe": 0}],
            "mustBe would not be checked. Beside type: text, only words",
        ),
        (
            (*COLUMN, "quality"),
            [{"metric": "nullValues", "rule": "nullCheck"}],
            "quality[0].rule would not be checked. Write metric.",
        ),
        (
            (*COLUMN, "quality"),
            [{"metric": "nullValues", "query": "SELECT 1"}],
            "query would not be checked. Write type: sql.",
        ),
        ((*COLUMN, "quality"), [{"type": "sq", "query": "SELECT 1"}], "quality[0].type is 'sq'; did you mean 'sql'?"),
        (
            (*COLUMN, "quality"),
            [{"type": "custom", "mustBe": 0}],
            "mustBe would not be checked. The expectation says it",
        ),
        (
            (*COLUMN, "quality"),
            [{"metric": "invalidValues", "mustBee": 0}],
            "mustBee is unknown. Did you mean 'mustBe'?",
        ),
        (
            (*COLUMN, "quality"),
            [{"metric": "invalidValues", "mustBe": 0, "arguments": {"validValues": ["a"], "patern": "b"}}],
            "quality[0].arguments.patern is unknown. Did you mean 'pattern'?",
        ),
        (
            ("schema", 0, "quality"),
            [{"metric": "rowCount", "mustBe": 0, "customProperties": [{"property": "per_", "value": "businessDay"}]}],
            "quality[0].customProperties[0].property 'per_' is not known; did you mean 'per'?",
        ),
        (
            ("schema", 0, "relationships"),
            [{"form": "clicks.at", "to": "days.at"}],
            "relationships[0].form is unknown. Did you mean 'from'?",
        ),
        (
            ("schema", 0, "customProperties", 0, "valeu"),
            1,
            "schema[0].customProperties[0].valeu is unknown. Did you mean 'value'?",
        ),
        (
            ("schema", 0, "customProperties", 0),
            {"property": "event_time", "value": "at"},
            "'event_time' is not known; did you mean 'eventTime'? Correct it, or name its tool (vendor: …).",
        ),
        (
            ("schema", 0, "customProperties", 0),
            {"property": "strptime", "value": "%Y"},
            "'strptime' belongs to schema[0].properties[…].customProperties.",
        ),
        (
            (*COLUMN, "customProperties"),
            [{"property": "timestampZone", "value": "UTC"}],
            "properties[0].customProperties[0].property 'timestampZone' belongs to schema[0].customProperties.",
        ),
        (
            (*COLUMN, "customProperties"),
            [{"property": "units", "value": "UTC"}],
            "'units' is not known; did you mean 'unit'?",
        ),
        ((*COLUMN, "customProperties"), [{"property": "unit"}], "customProperties[0].value of 'unit' is missing."),
    ],
)
def test_a_key_that_nobody_would_read_is_refused_with_what_was_meant(tmp_path, path, value, expected):
    assert expected in complaint(tmp_path, *path, value=value)


def test_documentation_of_the_standard_and_properties_of_other_tools_pass(tmp_path):
    document = yaml.safe_load(CLICKS) | {
        "description": {"purpose": "x", "usage": "y", "limitations": "z"},
        "servers": [{"server": "lake", "type": "s3", "location": "s3://clicks", "format": "parquet"}],
        "price": {"priceAmount": 1, "priceCurrency": "EUR", "priceUnit": "day"},
        "roles": [{"role": "reader", "access": "read"}],
        "slaProperties": [{"property": "latency", "value": 4, "unit": "d"}],
        "support": [{"channel": "#web", "url": "https://example.org"}],
        "authoritativeDefinitions": [{"url": "https://example.org", "type": "businessDefinition"}],
        "tags": ["web"],
        "customProperties": [{"property": "catalogueId", "value": 7}],
    }
    document["schema"][0] |= {
        "businessName": "Clicks",
        "tags": ["a"],
        "quality": [{"type": "text", "description": "x"}],
    }
    document["schema"][0]["customProperties"].append({"property": "eventTimes", "value": "x", "vendor": "atlan"})
    document["schema"][0]["properties"][0] |= {"classification": "public", "examples": ["x"], "transformLogic": "none"}
    (tmp_path / "clicks.yaml").write_text(yaml.safe_dump(document))

    assert read_contract("clicks", tmp_path).event_time == "at"


def test_every_key_of_the_standard_is_allowed_or_refused_on_purpose():
    """The standard's own schema, so that its next version shows what it has brought."""
    standard = json.loads(OpenDataContractStandard.json_schema())
    parts = standard["$defs"]
    element = set(parts["SchemaElement"]["properties"]) | {"id"}
    operators = {name for each in parts["DataQualityOperators"]["oneOf"] for name in each["properties"]}
    rule = {*parts["DataQuality"]["properties"], *parts["DataQualityLibrary"]["properties"], *operators}
    rule |= {*parts["DataQualitySql"]["properties"], *parts["DataQualityCustom"]["properties"]}
    for level, keys in (
        (CONTRACT, set(standard["properties"])),
        (SOURCE_LEVEL, element | set(parts["SchemaObject"]["properties"])),
        (COLUMN_LEVEL, element | set(parts["SchemaBaseProperty"]["properties"])),
        *((level, rule) for level in RULES.values()),
        (REFERENCE_LEVEL, set(parts["RelationshipBase"]["properties"])),
    ):
        assert keys - set(level.keys) - set(level.refused) == set()
    named = {"team": "Team", "support": "SupportItem", "price": "Pricing", "roles": "Role"}
    named |= {"slaProperties": "ServiceLevelAgreementProperty"}
    for name, part in named.items():
        assert set(parts[part]["properties"]) - set(CONTRACT.parts[name].keys) == set()
    described = standard["properties"]["description"]["properties"]
    assert set(described) - set(CONTRACT.parts["description"].keys) == set()


@pytest.mark.parametrize("name", contract_names())
def test_the_contracts_of_the_repository_pass(name):
    read_contract(name)


def test_every_open_mark_is_listed_at_once_with_its_line_and_what_it_asks(tmp_path):
    text = CLICKS.replace("description: One click", "description: FILL IN  # what one row is")
    text = text.replace("businessDayZone, value: UTC", "businessDayZone, value: FILL IN")
    (tmp_path / "clicks.yaml").write_text(f"# until FILL IN is gone\n{text}")
    with pytest.raises(ContractError) as error:
        read_contract("clicks", tmp_path)
    assert str(error.value) == (
        f"{tmp_path}/clicks.yaml: 2 marks still say 'FILL IN'. Fill them in:\n"
        "  line 10: schema[clicks].description  (what one row is)\n"
        "  line 13: schema[clicks].customProperties[businessDayZone].value"
    )


def test_a_mark_where_no_value_is_read_is_open_too(tmp_path):
    expected = "clicks.yaml: one mark still says 'FILL IN'. Fill it in:\n  line 3: description.purpose"
    assert expected in complaint(tmp_path, "description", value={"purpose": "FILL IN"})


def test_a_document_of_another_shape_is_left_to_the_reader(tmp_path):
    refuse_unknown(Node("x.yaml", "", {"description": "a text", "schema": 5, "team": None}))
    (tmp_path / "x.yaml").write_text("schema: 5")
    assert read_document(tmp_path / "x.yaml").values == {"schema": 5}
