"""The keys that a contract may have, level by level; a key that nothing would read is refused with the nearest one.

A key of the standard is read, or is documentation that no check depends on, or promises something that we would not
check; the last kind is refused, with what to write instead. Our own properties go under `customProperties`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field

from transformations.contracts.document import Node
from transformations.contracts.quality import OPERATORS
from transformations.contracts.texts import nearest

SOURCE_PROPERTIES = (
    "eventTime",
    "timestampZone",
    "businessDayZone",
    "validFrom",
    "delivery",
    "csv",
    "nullTokens",
    "ignoredColumns",
    "headerCase",
    "folderColumns",
    "quarantineAllowed",
    "futureAllowed",
    "supersedesAllowed",
    "expectedDays",
)
COLUMN_PROPERTIES = ("unit", "pii", "strptime", "decimalSeparator", "thousandsSeparator")
REFERENCE_PROPERTIES = ("missingAllowed",)
QUALITY_PROPERTIES = ("per", "comparedWith")
_HOMES = {
    SOURCE_PROPERTIES: "schema[0].customProperties",
    COLUMN_PROPERTIES: "schema[0].properties[…].customProperties",
    REFERENCE_PROPERTIES: "relationships[…].customProperties",
    QUALITY_PROPERTIES: "quality[…].customProperties",
}


@dataclass(frozen=True)
class Level:
    """One kind of mapping: its keys in one text, and the kinds of mappings below some of them.

    refused: standard keys that we would not check, with the remedy. meant: other tools' words, with ours.
    own: the properties of ours that its customProperties may contain.
    """

    words: str
    _: KW_ONLY
    parts: Mapping[str, Level] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    meant: Mapping[str, str] = field(default_factory=dict)
    own: tuple[str, ...] = ()

    @property
    def keys(self) -> list[str]:
        """The keys that may stand here."""
        return self.words.split()


def refuse_unknown(document: Node) -> None:
    """Check every key of the document; ContractError for the first one that nothing would read."""
    _refuse_unknown_keys(document, CONTRACT)


def _refuse_unknown_keys(node: Node, level: Level) -> None:
    for key, value in node.values.items():
        if not isinstance(key, str):
            raise node.error(repr(key), f"is no text. Put it in quotes, or remove it; {nearest(str(key), level.keys)}.")
        if remedy := level.refused.get(key):
            raise node.error(key, f"would not be checked. {remedy}")
        if key not in level.keys:
            raise node.error(key, f"is unknown. {_remedy_text(key, level)}")
        for part in _mappings_below(node, key, value):
            if key == "quality":
                _refuse_rule(part)
            elif key in level.parts:
                _refuse_unknown_keys(part, level.parts[key])
    if "customProperties" in level.keys:
        _refuse_misplaced(node, level)


def _refuse_rule(rule: Node) -> None:
    kind = rule.values.get("type", "library")
    if kind not in RULES:
        raise rule.error("type", f"is {kind!r}; {nearest(str(kind), RULES)}.")
    _refuse_unknown_keys(rule, RULES[kind])


def _mappings_below(node: Node, key: str, value: object) -> list[Node]:
    """The mappings under a key that holds one or a list; of another shape, the reader has its own word."""
    if isinstance(value, dict):
        return [Node(node.file, node.at(key), value)]
    entries = value if isinstance(value, list) else []
    return [
        Node(node.file, f"{node.at(key)}[{number}]", entry)
        for number, entry in enumerate(entries)
        if isinstance(entry, dict)
    ]


def _remedy_text(key: str, level: Level) -> str:
    if remedy := level.meant.get(key):
        return remedy
    for names, home in _HOMES.items():
        if key in names:
            return f"Write it in {home}, as `- {{ property: {key}, value: … }}`."
    hint = nearest(key, level.keys)
    return f"{hint[0].upper()}{hint[1:]}. What belongs to another tool goes under customProperties."


def _refuse_misplaced(node: Node, level: Level) -> None:
    for entry in node.children("customProperties"):
        for names, home in _HOMES.items():
            if names is not level.own and entry.values.get("property") in names:
                raise entry.error("property", f"{entry.values['property']!r} belongs to {home}.")
    node.custom(level.own)


_PROPERTY = Level("id property value description vendor")
_LINK = Level("id url type description")
_COMMON = {"customProperties": _PROPERTY, "authoritativeDefinitions": _LINK}
_ANY_RULE = (
    "id name type description dimension severity businessImpact method tags schedule scheduler "
    "authoritativeDefinitions customProperties"
)
_OPERATORS = " ".join(OPERATORS)
_LIBRARY = Level(
    f"{_ANY_RULE} metric arguments unit {_OPERATORS}",
    parts={**_COMMON, "arguments": Level("validValues pattern missingValues properties")},
    refused={
        "rule": "Write metric.",
        "query": "Write type: sql.",
        **dict.fromkeys(("engine", "implementation"), "Write type: custom."),
    },
    own=QUALITY_PROPERTIES,
)
_SQL = Level(
    f"{_ANY_RULE} query unit {_OPERATORS}",
    parts=_COMMON,
    refused=dict.fromkeys(("metric", "rule", "arguments", "engine", "implementation"), "A query stands alone."),
    own=QUALITY_PROPERTIES,
)
_CUSTOM = Level(
    f"{_ANY_RULE} engine implementation",
    parts=_COMMON,
    refused=dict.fromkeys(
        ("metric", "rule", "arguments", "unit", "query", *OPERATORS), "The expectation says it in its own arguments."
    ),
    own=QUALITY_PROPERTIES,
)
_WORDS = Level(
    _ANY_RULE,
    parts=_COMMON,
    refused=dict.fromkeys(
        ("metric", "rule", "arguments", "unit", "query", "engine", "implementation", *OPERATORS),
        "Beside type: text, only words count. Leave it out.",
    ),
)
RULES = {"library": _LIBRARY, "sql": _SQL, "custom": _CUSTOM, "text": _WORDS}
REFERENCE_LEVEL = Level(
    "id type description from to customProperties", parts={"customProperties": _PROPERTY}, own=REFERENCE_PROPERTIES
)
COLUMN_LEVEL = Level(
    "id name businessName physicalName logicalType physicalType logicalTypeOptions description required unique "
    "primaryKey primaryKeyPosition partitioned partitionKeyPosition semanticType classification criticalDataElement "
    "encryptedName transformSourceObjects transformLogic transformDescription examples deprecated synonyms tags "
    "authoritativeDefinitions relationships quality customProperties",
    parts={**_COMMON, "relationships": REFERENCE_LEVEL},
    refused={
        "enum": "Write quality: [{ metric: invalidValues, mustBe: 0, arguments: { validValues: […] } }].",
        "items": "Lists are no column of ours. Leave it out.",
        "properties": "Nested columns are none of ours. Leave it out.",
    },
    meant={
        **dict.fromkeys(("type", "dtype"), "Write logicalType."),
        **dict.fromkeys(("key", "isKey", "primary_key"), "Write primaryKey: true."),
        **dict.fromkeys(("null", "nullable", "optional", "notNull"), "Write required: true where no null may come."),
        **dict.fromkeys(("minimum", "maximum", "min", "max"), "Write logicalTypeOptions: { minimum: …, maximum: … }."),
        "format": "Write customProperties: [{ property: strptime, value: … }].",
    },
    own=COLUMN_PROPERTIES,
)
SOURCE_LEVEL = Level(
    "id name businessName physicalName logicalType physicalType description dataGranularityDescription properties "
    "relationships quality context deprecated synonyms tags authoritativeDefinitions customProperties",
    parts={**_COMMON, "properties": COLUMN_LEVEL, "relationships": REFERENCE_LEVEL},
    meant={
        **dict.fromkeys(
            ("key", "keys", "primaryKey", "primary_key", "unique"),
            "Mark each column of the key with primaryKey: true and its primaryKeyPosition.",
        ),
        **dict.fromkeys(("columns", "fields"), "Write properties."),
    },
    own=SOURCE_PROPERTIES,
)
_MEMBER = Level(
    "id username name description role dateIn dateOut replacedByUsername tags customProperties authoritativeDefinitions"
)
CONTRACT = Level(
    "apiVersion kind id name version status tenant domain dataProduct description team schema servers support price "
    "roles slaDefaultElement slaProperties context tags authoritativeDefinitions customProperties contractCreatedTs",
    parts={
        **_COMMON,
        "description": Level("purpose usage limitations authoritativeDefinitions customProperties", parts=_COMMON),
        "team": Level(
            "id name description members tags customProperties authoritativeDefinitions",
            parts={**_COMMON, "members": _MEMBER},
            meant={"owner": "Write name: the team that answers for the source."},
        ),
        "schema": SOURCE_LEVEL,
        "support": Level("id channel url description tool scope invitationUrl customProperties"),
        "price": Level("id priceAmount priceCurrency priceUnit"),
        "roles": Level("id role description access firstLevelApprovers secondLevelApprovers customProperties"),
        "slaProperties": Level(
            "id property value valueExt unit element driver description scheduler schedule customProperties "
            "authoritativeDefinitions"
        ),
    },
    meant={"owner": "Write team: { name: … }.", **dict.fromkeys(("properties", "columns"), "Write it in schema[0].")},
)
