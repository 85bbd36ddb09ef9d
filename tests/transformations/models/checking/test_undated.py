"""A query that reads a source without an event time, and not what dates it, is told so."""

import pytest

from tests.worlds.contracts import attribute_source, event_source
from transformations.contracts import Column, Reference
from transformations.datasets.config import DatasetConfig
from transformations.models.checking.undated import undated_sources


def column(name: str, dtype: str) -> Column:
    return Column(name, dtype, nullable=False, description=name)


CHOSEN = attribute_source(
    "chosen",
    [column("user_id", "Int64"), column("offer_id", "Int64")],
    key=["offer_id", "user_id"],
    references=(Reference(("offer_id",), "offers", ("offer_id",)),),
)
KNOWN = {
    "clicks": event_source(
        "clicks", [column("user_id", "Int64"), column("clicked_at", "UnixTimestamp")], at="clicked_at"
    ),
    "offers": attribute_source("offers", [column("offer_id", "Int64"), column("begins", "Date")], key=["offer_id"]),
    "users": attribute_source("users", [column("user_id", "Int64"), column("city", "String")], key=["user_id"]),
    "chosen": CHOSEN,
}
OF_CHOSEN = "reads raw.chosen, which has no event time, and not begins of offers"


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("SELECT user_id, count(*) FROM raw.chosen GROUP BY ALL", [OF_CHOSEN]),
        ("SELECT * FROM raw.clicks JOIN raw.chosen USING (user_id)", [OF_CHOSEN]),
        ("SELECT * FROM raw.chosen JOIN raw.offers USING (offer_id)", [OF_CHOSEN, "reads raw.offers"]),
        ("SELECT user_id FROM raw.chosen JOIN raw.offers USING (offer_id) WHERE BEGINS < DATE '2020-01-01'", []),
        ("SELECT user_id, city FROM raw.users", []),
        ("SELECT user_id, clicked_at FROM raw.clicks", []),
    ],
)
def test_a_source_that_dates_itself_nowhere_in_the_query_is_named(query: str, told: list[str]) -> None:
    config = DatasetConfig.model_validate({"name": "d", "feature_service": "s", "spine": {"query": query}})
    found = undated_sources(config, KNOWN)
    assert len(found) == len(told)
    assert all(text in said for said, text in zip(found, told, strict=True))


def test_a_file_says_nothing_of_sources() -> None:
    config = DatasetConfig.model_validate({"name": "d", "feature_service": "s", "spine": {"file": "spine.csv"}})
    assert undated_sources(config, KNOWN) == ()
