"""Words of messages: counts, and addresses in which no secret is shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transformations.engine.base.words import plural, show_address, show_evidence, show_spark_setting


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (plural(0, "row"), "0 rows"),
        (plural(1, "stored row"), "1 stored row"),
        (plural(1204, "row"), "1,204 rows"),
        (plural(1, "entity", "entities"), "1 entity"),
        (plural(2, "entity", "entities"), "2 entities"),
    ],
)
def test_a_count_has_its_noun_in_the_right_number(said: str, words: str) -> None:
    assert said == words


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("redis://:hunter2@host:6379/0", "redis://:***@host:6379/0"),
        ("redis://me:hunt@er:2@host/0", "redis://me:***@host/0"),
        ("redis://me:hunt#er/2 ,x@host:6379/0", "redis://me:***@host:6379/0"),
        ("redis://hunter2@host/0", "redis://***@host/0"),
        ("redis://host?password=hunt@er2&db=0", "redis://***"),
        ("redis://host?password=hunter2&db=0", "redis://host?password=***&db=0"),
        ("mssql://host/db?sas=abc", "mssql://host/db?sas=***"),
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("unix:///run/redis.sock", "unix:///run/redis.sock"),
        ("sqlite:////var/lib/registry.db", "sqlite:////var/lib/registry.db"),
        ("host:6379,password=hunter2,db=0", "host:6379,password=***,db=0"),
        ("a:6379,b:6379,password=hun,ter:2,db=0", "a:6379,b:6379,password=***,***,db=0"),
        ("hunter2", "***"),
        ("redis:/me:hunter2@host", "***"),
    ],
)
def test_an_address_is_shown_by_the_parts_that_are_known_to_hold_no_secret(address: str, shown: str) -> None:
    assert show_address(address) == shown


@given(st.text(min_size=3).filter(lambda password: not set(password) & set("redis://me@host:6379/0***?,=passwordb&")))
def test_no_password_is_shown_wherever_it_stands(password: str) -> None:
    for address in (
        f"redis://me:{password}@host:6379/0",
        f"redis://{password}@host:6379/0",
        f"redis://host?password={password}",
        f"host:6379,password={password},db=0",
        password,
    ):
        assert password not in show_address(address)
        assert password not in show_evidence(ValueError(f"what is {password}?"), address)


def test_an_error_s_words_are_shown_where_they_hold_nothing_that_is_hidden() -> None:
    address = "redis://me:hunter2@host:6379/0"
    assert show_evidence(ValueError("host refused"), address) == "host refused"
    assert show_evidence(ValueError(f"{address} refused"), address) == "redis://me:***@host:6379/0 refused"
    assert show_evidence(ValueError("port 'hunter2' is no number"), address) == "ValueError"


@pytest.mark.parametrize(
    ("name", "is_shown"),
    [
        ("spark.sql.shuffle.partitions", True),
        ("spark.executor.memory", True),
        ("spark.hadoop.fs.azure.account.key.shop.dfs.core.windows.net", False),
        ("spark.hadoop.google.cloud.auth.service.account.private.key", False),
        ("spark.hadoop.fs.azure.sas.fixed.token", False),
        ("spark.ssl.keyPassword", False),
        ("spark.sql.catalog.shop.password", False),
        ("spark.shuffle.service.secret", False),
    ],
)
def test_of_spark_s_settings_only_known_ones_are_shown(name: str, is_shown: bool) -> None:
    assert show_spark_setting(name, "hunter2") == ("hunter2" if is_shown else "***")
