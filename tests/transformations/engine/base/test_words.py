"""Words of messages: counts, and addresses in which no secret is shown."""

import re
import socket
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.exceptions import ResponseError

from transformations.engine.base.words import (
    ALL_BUT_KNOWN_SPARK_SETTINGS,
    has_unencoded_password,
    human_bytes,
    human_count,
    human_duration,
    plural,
    show_address,
    show_reason,
    show_spark_setting,
    show_spark_settings,
)


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
        ("redis://:hunter2@host:6379/0", "redis://***@host:6379/0"),
        ("rediss://me:hunter2@one:6379,two:6379", "rediss://***@one:6379,two:6379"),
        ("redis://hunter2@host/0", "redis://***@host/0"),
        ("redis://me:hunt%40er2@host:6379/0?db=1", "redis://***@host:6379/***"),
        ("redis://me:hunter2@host?ssl_ca_certs=x", "redis://***@host?***"),
        ("redis://me:hunt@er:2@host/0", "redis://***"),
        ("redis://me:hunt#er/2 ,x@host:6379/0", "redis://***"),
        ("redis://host?password=hunt@er2&db=0", "redis://***"),
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("redis://127.0.0.1:6379/0?password=hunter2", "redis://127.0.0.1:6379/***"),
        ("redis://[::1]:6379/0", "redis://[::1]:6379/0"),
        ("redis://hunter2", "redis://***"),
        ("redis://hunter2:6379/0", "redis://***"),
        ("redis://me:123456", "redis://***"),
        ("hunter2://host", "***"),
        ("postgresql+psycopg://me:hunter2@host/registry", "postgresql+psycopg://***@host/***"),
        ("unix://me:hunter2@/etc/passwd?db=0", "unix://***@/etc/passwd?***"),
        ("unix://me:hunt/er2@/etc/passwd", "unix://***"),
        ("unix:///etc/hunter2", "unix://***"),
        ("sqlite:////etc/passwd", "sqlite:////etc/passwd"),
        ("sqlite:////etc/hunter2", "sqlite://***"),
        ("host:6379,password=hunter2,db=0", "host:6379,***"),
        ("a:6379,b:6379,password=hun,ter:2,db=0", "a:6379,b:6379,***"),
        ("host:6379,db=0,password=hunt,er=2", "host:6379,***"),
        ("127.0.0.1:6379,hunter=2", "127.0.0.1:6379,***"),
        ("hunter2:6379", "***"),
        ("hunter2", "***"),
        ("redis:/me:hunter2@host", "***"),
    ],
)
def test_of_an_address_only_scheme_hosts_and_ports_are_shown(address: str, shown: str) -> None:
    assert show_address(address) == shown


# Whatever stands in place of {}: what is shown is one of these, so that it says nothing of it.
FORMS = {
    "redis://me:{}@host:6379/0": {"redis://***@host:6379/0", "redis://***"},
    "rediss://:{}@host:6379": {"rediss://***@host:6379", "rediss://***"},
    "redis://{}@host:6379/0": {"redis://***@host:6379/0", "redis://***"},
    "redis://{}:x@host:6379/0": {"redis://***@host:6379/0", "redis://***"},
    "redis://host:6379/0?password={}": {"redis://***"},
    "redis://host:6379/0?password={}&db=1": {"redis://***"},
    "redis://127.0.0.1:6379?username=me&password={}": {"redis://127.0.0.1:6379?***", "redis://***"},
    "unix://me:{}@/etc/passwd": {"unix://***@/etc/passwd", "unix://***"},
    "unix:///etc/passwd?password={}": {"unix:///etc/passwd?***", "unix://***"},
    "host:6379,password={},db=0": {"host:6379,***"},
    "a:6379,b:6379,username=me,password={}": {"a:6379,b:6379,***"},
    "a:26379,b:26379,ssl=true,username={},password=x": {"a:26379,b:26379,***"},
    "postgresql+psycopg://me:{}@host:5432/registry": {
        "postgresql+psycopg://***@host:5432/***",
        "postgresql+psycopg://***",
    },
    "mssql://host/registry?sas={}": {"mssql://***"},
}
# A password where nothing says that it is one: it must not be taken for a host.
BARE = ["redis://{}", "redis://{}/0", "redis://{}:6379/0", "redis://me:{}", "{}:6379", "{}", "{},db=0", "x://{}"]
PASSWORDS = st.one_of(
    st.text(min_size=1),
    st.text("abc019#/@?:,=&%.[]'\"\\ ", min_size=1),
    st.text(min_size=1).map(lambda text: quote(text.encode(errors="replace"), safe="")),
    st.sampled_from(["a,db=b", "a,b:1", "hunt/er", "a@b:1", "12/3", "1e5", "true", '"x"', "a.b", "x@y,password=z"]),
)


@given(PASSWORDS)
def test_what_is_shown_does_not_depend_on_the_password(password: str) -> None:
    for form, shown in FORMS.items():
        assert show_address(form.format(password)) in shown, form


@given(PASSWORDS.filter(lambda text: not set(text) & set("@,") and not re.search(r"localhost|\d+\.\d+|^\[", text)))
def test_a_password_in_the_place_of_a_host_is_not_shown(password: str) -> None:
    for form in BARE:
        assert show_address(form.format(password)) in {"redis://***", "***"}, form


@given(PASSWORDS)
def test_an_error_s_own_words_are_never_repeated(password: str) -> None:
    for kind in (ValueError, OSError, ConnectionError, KeyError, RuntimeError):
        assert show_reason(kind(f"what is {password}?")) == kind.__name__
        assert show_reason(kind(password)) in {kind.__name__, f"{kind.__name__}: {password.partition(' ')[0]}"[:40]}


def test_an_error_is_named_as_the_system_tls_and_redis_name_it() -> None:
    refused = ValueError("host hunter2")
    refused.__cause__ = ConnectionRefusedError(111, "of hunter2")
    assert show_reason(refused) == "ValueError: Connection refused"
    assert show_reason(OSError(28, "hunter2", "/hunter2")) == "OSError: No space left on device"
    assert show_reason(socket.gaierror(socket.EAI_NONAME, "hunter2")) == "gaierror: the name of the host is not known"
    assert show_reason(ResponseError("ERR unknown command 'AUTH', with args beginning with: 'hunter2'")) == (
        "ResponseError: ERR unknown command"
    )
    assert show_reason(ResponseError("hunter2")) == "ResponseError"


@pytest.mark.parametrize(
    ("url", "is_unencoded"),
    [
        ("redis://me:hunt/er2@host:6379", True),
        ("redis://me:12#x@host", True),
        ("redis://me:hunt?er2@host", True),
        ("redis://me:hunt%2Fer2@host:6379/0", False),
        ("redis://me:hunt@er2@host:6379/0", False),
        ("redis://host", False),
    ],
)
def test_a_password_that_cuts_its_url_in_two_is_found(url: str, is_unencoded: bool) -> None:
    assert has_unencoded_password(url) is is_unencoded


SECRETS = [
    "spark.hadoop.fs.azure.account.key.shop.dfs.core.windows.net",
    "spark.hadoop.fs.azure.account.oauth2.client.secret",
    "spark.hadoop.fs.azure.sas.fixed.token",
    "spark.hadoop.fs.s3a.access.key",
    "spark.hadoop.fs.s3a.secret.key",
    "spark.hadoop.fs.s3a.session.token",
    "spark.hadoop.google.cloud.auth.service.account.private.key",
    "spark.hadoop.google.cloud.auth.service.account.private.key.id",
    "spark.hadoop.javax.jdo.option.ConnectionURL",
    "spark.sql.catalog.shop.url",
    "spark.sql.catalog.shop.password",
    "spark.ssl.keyPassword",
    "spark.authenticate.secret",
    "spark.driver.extraJavaOptions",
    "spark.app.name",
]


@given(PASSWORDS, st.sampled_from(SECRETS))
def test_of_spark_s_settings_only_known_ones_are_shown(password: str, name: str) -> None:
    assert show_spark_settings({name: password, "spark.executor.memory": "2g"}) == {
        name: "***",
        "spark.executor.memory": "2g",
    }
    assert show_spark_setting("spark.executor.memory", f"{password}x") == "***"
    assert show_spark_setting("spark.master", f"k8s://https://me:{password}@host") == "***"
    assert show_spark_settings({password: "1"}) == {"***": "***"}
    assert re.search(ALL_BUT_KNOWN_SPARK_SETTINGS, name)
    assert not re.search(ALL_BUT_KNOWN_SPARK_SETTINGS, "spark.executor.memory")
    assert not re.search(ALL_BUT_KNOWN_SPARK_SETTINGS, "2g")


@pytest.mark.parametrize("master", ["local[*]", "local", "local[2, 3]", "yarn", "spark://host:7077"])
def test_where_spark_runs_is_shown(master: str) -> None:
    assert show_spark_setting("spark.master", master) == master


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0042, "4 ms"), (0.5, "500 ms"), (3.21, "3.2 s"), (59.9, "59.9 s"), (125, "2 min 5 s"), (7380, "2 h 3 min")],
)
def test_durations(seconds: float, text: str) -> None:
    assert human_duration(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 * 2**30, "5.0 GiB"), (2**41, "2.0 TiB")]
)
def test_sizes(size: int, text: str) -> None:
    assert human_bytes(size) == text


def test_counts() -> None:
    assert human_count(1469307) == "1,469,307"
