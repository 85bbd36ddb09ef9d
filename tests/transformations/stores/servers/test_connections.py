"""Every way in which a deployment may tell where its Redis is, and how each one fails."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from feast import FeatureStore

from transformations.engine.base.errors import ServiceUnavailableError, UsageError

Serving = Callable[..., FeatureStore]
END = datetime(2024, 6, 1, tzinfo=UTC)
FEATURES = ["user_visits:visits", "user_visits:spent", "user_visits:page"]


def load(store: FeatureStore) -> None:
    store.materialize(datetime(1970, 1, 1, tzinfo=UTC), END)


def look(store: FeatureStore, *users: int) -> dict[str, list[Any]]:
    return store.get_online_features(FEATURES, {"user_id": list(users)}).to_dict()


def look_async(store: FeatureStore, *users: int) -> dict[str, list[Any]]:
    async def ask() -> dict[str, list[Any]]:
        try:
            answer = await store.get_online_features_async(FEATURES, {"user_id": list(users)})
            return answer.to_dict()
        finally:
            await store.close()

    return asyncio.run(ask())


def holds(store: FeatureStore) -> bool:
    """Whether what is materialized is looked up, both ways."""
    load(store)
    found = look(store, 3, 7, -1)
    wanted = {"user_id": [3, 7, -1], "visits": [31, 71, None], "spent": [0.75, None, None]}
    assert look_async(store, 3, 7, -1) == found
    return all(found[name] == values for name, values in wanted.items())


def test_a_user_with_a_password_and_no_more_rights_than_needed(
    server_of: Callable[..., Any], serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = server_of("--user", "default", "off", "--user", "features", "on", ">1e5:@,/#", "~*", "+@all", "-@admin")
    assert holds(serving(connection_string=f"redis://features:{quote('1e5:@,/#', safe='')}@127.0.0.1:{server.port}/0"))
    monkeypatch.setenv("FEATURES_REDIS_URL", f"redis://features:{quote('1e5:@,/#', safe='')}@127.0.0.1:{server.port}/0")
    assert holds(serving())


def test_a_password_that_looks_like_a_number_in_feasts_form_of_address(
    server_of: Callable[..., Any], serving: Serving
) -> None:
    server = server_of("--user", "default", "off", "--user", "features", "on", ">1e5", "~*", "+@all")
    assert holds(serving(connection_string=f"127.0.0.1:{server.port},db=0,username=features,password=1e5"))


def test_a_wrong_password_is_said_and_not_shown(server_of: Callable[..., Any], serving: Serving) -> None:
    server = server_of("--requirepass", "right")
    for address in (f"redis://:hunter2@127.0.0.1:{server.port}", f"127.0.0.1:{server.port},password=hunter2"):
        for way in (look, look_async):
            with pytest.raises(ServiceUnavailableError, match="refused the username or password") as raised:
                way(serving(connection_string=address), 1)
            assert "hunter2" not in str(raised.value)
            assert f"127.0.0.1:{server.port}" in str(raised.value)


def test_a_user_who_may_not_write_is_told_so(server_of: Callable[..., Any], serving: Serving) -> None:
    server = server_of("--user", "default", "off", "--user", "reader", "on", ">secret", "~*", "+@read", "+@connection")
    store = serving(connection_string=f"redis://reader:secret@127.0.0.1:{server.port}")
    with pytest.raises(ServiceUnavailableError, match=r"does not permit its user what is needed.*ACL SETUSER"):
        load(store)


@pytest.mark.parametrize("form", ["unix://{}", "unix_socket_path={}"])
def test_a_unix_socket(form: str, server_of: Callable[..., Any], serving: Serving) -> None:
    assert holds(serving(connection_string=form.format(server_of().socket)))


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A certificate of localhost that it signed itself, and its key in one file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    monkeypatch.setenv("FEATURES_REDIS_READ_TIMEOUT_MS", "10000")  # a thread of this process shakes hands with us
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    path = tmp_path / "localhost.pem"
    path.write_bytes(
        signed.public_bytes(pem)
        + key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path


def test_tls_with_a_certificate_that_we_are_told_to_trust(
    server_of: Callable[..., Any], way_to: Callable[..., Any], serving: Serving, certificate: Path
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    way = way_to(server_of(), tls=context)
    assert holds(serving(connection_string=f"{way.url}?ssl_ca_certs={certificate}"))
    assert holds(serving(connection_string=f"localhost:{way.port},ssl=true,ssl_ca_certs={certificate}"))
    assert way.passed > 0


def test_tls_with_a_certificate_that_nobody_vouches_for_is_refused(
    server_of: Callable[..., Any], way_to: Callable[..., Any], serving: Serving, certificate: Path
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    way = way_to(server_of(), tls=context)
    for lookup in (look, look_async):
        with pytest.raises(ServiceUnavailableError, match=r"cannot be reached.*(?i:certificate verify failed)"):
            lookup(serving(connection_string=way.url), 1)


@pytest.mark.parametrize("address", ["http://127.0.0.1:6379", "redis://127.0.0.1:port", "127.0.0.1:6379,colour=red"])
def test_an_address_that_cannot_mean_anything_is_told_apart_from_a_server_that_is_down(
    address: str, serving: Serving
) -> None:
    with pytest.raises(UsageError, match=r"is no address of Redis.*Give redis://host:6379/0"):
        look(serving(connection_string=address), 1)


def test_sentinels_need_their_addresses(serving: Serving) -> None:
    with pytest.raises(UsageError, match="redis_type redis_sentinel needs the sentinels' addresses"):
        look(serving(redis_type="redis_sentinel"), 1)


@pytest.mark.parametrize("lookup", [look, look_async])
def test_a_frozen_server_is_given_up_within_the_configured_time_and_used_again_when_it_thaws(
    lookup: Callable[..., Any], server_of: Callable[..., Any], serving: Serving
) -> None:
    server = server_of()
    store = serving(connection_string=server.url)
    load(store)
    before = lookup(store, 3)
    server.freeze()
    for _ in range(2):  # with the connection that it has, and with a new one
        began = time.monotonic()
        with pytest.raises(ServiceUnavailableError, match=r"is too slow.*features doctor"):
            lookup(store, 3)
        assert time.monotonic() - began < 0.25 + 0.15
    server.thaw()
    assert lookup(store, 3) == before


@pytest.mark.parametrize("lookup", [look, look_async])
def test_a_server_that_is_down_fails_at_once_and_is_picked_up_when_it_is_back(
    lookup: Callable[..., Any], server_of: Callable[..., Any], serving: Serving
) -> None:
    server = server_of("--appendonly", "yes")
    store = serving(connection_string=server.url)
    load(store)
    before = lookup(store, 3)
    server.kill()
    began = time.monotonic()
    with pytest.raises(ServiceUnavailableError, match=f"127.0.0.1:{server.port}.*cannot be reached"):
        lookup(store, 3)
    assert time.monotonic() - began < 0.25
    server.start()
    assert lookup(store, 3) == before


@pytest.mark.parametrize(
    ("policy", "said"),
    [("allkeys-lru", "silently drops rows when"), ("volatile-ttl", "rows of views with a ttl"), ("noeviction", None)],
)
def test_a_server_that_would_drop_rows_is_warned_of(
    policy: str,
    said: str | None,
    server_of: Callable[..., Any],
    serving: Serving,
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = server_of("--maxmemory", "64mb", "--maxmemory-policy", policy)
    with caplog.at_level(logging.WARNING, "transformations"):
        load(serving(connection_string=server.url))
    warnings = [record.getMessage() for record in caplog.records if "maxmemory" in record.getMessage()]
    assert len(warnings) == (0 if said is None else 1)
    assert said is None or said in warnings[0]
