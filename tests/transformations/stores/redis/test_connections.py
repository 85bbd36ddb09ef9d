"""No error of a connection, with its whole trace, shows a part of an address that may be a secret."""

from __future__ import annotations

import asyncio
import inspect
import socket
import traceback
from typing import Any, NoReturn

import pytest
from feast.infra.online_stores.redis import RedisOnlineStoreConfig
from hypothesis import given
from hypothesis import strategies as st

from transformations.engine.base.errors import FeaturesError, UsageError
from transformations.local.redis import driver_info
from transformations.stores.online import PackedRedisOnlineStoreConfig
from transformations.stores.redis.connections import Reaching, connect, connect_async

LETTERS = "ΓΔΛΞΠΣΨΩ"  # which stand in no message, path or line of code
PASSWORDS = st.text(f"{LETTERS}019#/@?:,=&%[ '\"", min_size=1).map(lambda text: f"Γ{text}Ω")
FORMS = [
    "redis://me:{}@127.0.0.1:1/0",
    "rediss://{}@127.0.0.1:1",
    "redis://127.0.0.1:1?password={}",
    "redis://127.0.0.1:1?password=x&{}=1",
    "redis://me:x@{}:1",
    "redis://{}",
    "redis://{}:1",
    "redis://me:{}",
    "unix://me:{}@/nowhere",
    "unix:///nowhere?password={}",
    "unix:///{}",
    "127.0.0.1:1,password={}",
    "127.0.0.1:1,{}=1",
    "127.0.0.1:1,127.0.0.1:2,username={},password=x",
    "127.0.0.1:1,unix_socket_path=/{}",
    "{}:1",
    "{}",
    "{}://127.0.0.1:1",
]


def ask(address: str, redis_type: str, is_async: bool) -> str:
    """What is said, with its trace, of a server that nobody can reach."""
    config = RedisOnlineStoreConfig(connection_string=address, redis_type=redis_type)

    async def ping() -> None:
        with Reaching(config):
            client = (connect_async if is_async else connect)(config, 100)
            answer: Any = client.ping()
            if inspect.isawaitable(answer):
                await answer

    with pytest.raises(FeaturesError) as raised:
        asyncio.run(ping())
    return "".join(traceback.format_exception(raised.value))


def know_nobody(host: object, *_: object, **__: object) -> NoReturn:
    raise socket.gaierror(socket.EAI_NONAME, f"who is {host!r}?")


@given(PASSWORDS, st.sampled_from(FORMS), st.sampled_from(["redis", "redis_cluster", "redis_sentinel"]), st.booleans())
def test_whatever_the_form_of_address_its_secrets_are_not_said(
    password: str, form: str, redis_type: str, is_async: bool
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        if "127.0.0.1" not in form:
            patch.setattr(socket, "getaddrinfo", know_nobody)
        said = ask(form.format(password), redis_type, is_async)
    assert not set(said) & set(LETTERS), said


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1:1,password=a,b",  # of which Feast makes the password `a`
        "redis://me:12#x@127.0.0.1:1",  # which redis-py takes for port 12 of the host `me`
        "redis://me:1/2@127.0.0.1:1",
        "redis://127.0.0.1:1?colour=red",
        "127.0.0.1:1,colour=red",
    ],
)
@pytest.mark.parametrize("redis_type", ["redis", "redis_sentinel"])
def test_an_address_of_which_another_would_be_made_is_refused(address: str, redis_type: str) -> None:
    config = RedisOnlineStoreConfig(connection_string=address, redis_type=redis_type)
    for way in (connect, connect_async):
        with pytest.raises(UsageError, match="percent-encode what a password has"):
            way(config, 100)


@pytest.mark.parametrize("keys", [{"conection_string": "{}"}, {"connection_string": ["{}"]}, {"redis_type": "{}"}])
def test_a_key_of_the_yaml_that_does_not_fit_is_named_without_its_value(keys: dict[str, Any]) -> None:
    secret = "redis://me:hunter" + "2@host"
    given = {name: [secret] if isinstance(value, list) else secret for name, value in keys.items()}
    with pytest.raises(UsageError, match=rf"{next(iter(keys))}: .*Its keys are client, connection_string, ") as raised:
        PackedRedisOnlineStoreConfig(**given)
    assert "hunter2" not in "".join(traceback.format_exception(raised.value))
    assert "hunter2" not in repr(PackedRedisOnlineStoreConfig(connection_string=secret))


def test_connections_are_made_without_looking_up_which_version_of_the_library_is_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked: list[bool] = []
    monkeypatch.setattr("redis.utils.get_lib_version", lambda: looked.append(True) or "7.0.0")
    driver_info.cache_clear()
    config = RedisOnlineStoreConfig(connection_string="unix:///nowhere")
    for _ in range(3):
        connect(config, 100).connection_pool.make_connection()
        connect_async(config, 100).connection_pool.make_connection()
    driver_info.cache_clear()
    assert looked == [True]
