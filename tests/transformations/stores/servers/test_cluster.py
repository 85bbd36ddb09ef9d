"""Redis Cluster: three nodes on loopback, each with a third of the slots."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from feast import FeatureStore
from redis import Redis
from redis.crc import key_slot

from transformations.engine.base.errors import DataError, ServiceUnavailableError
from transformations.engine.base.settings import get_settings

SLOTS = 16_384
FEATURES = ["user_visits:visits", "user_visits:spent", "user_visits:page"]


def form_cluster(servers: list[Any], bus_ports: list[int]) -> None:
    """Give each node its share of the slots, introduce them, and wait until all agree."""
    clients: list[Redis] = [server.client for server in servers]
    for position, client in enumerate(clients):
        client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", position + 1)
        first, last = SLOTS * position // 3, SLOTS * (position + 1) // 3 - 1
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
        client.execute_command("CLUSTER", "MEET", "127.0.0.1", servers[0].port, bus_ports[0])
    deadline = time.monotonic() + 20
    while not all(_is_whole(client) for client in clients):
        assert time.monotonic() < deadline, "the nodes did not agree"
        time.sleep(0.05)


def _is_whole(client: Redis) -> bool:
    facts: Any = client.execute_command("CLUSTER INFO")
    return facts["cluster_state"] == "ok" and facts["cluster_known_nodes"] == "3"


@pytest.fixture
def nodes(server_of: Callable[..., Any], free_port: Callable[[], int]) -> list[Any]:
    bus_ports = [free_port() for _ in range(3)]
    servers = [
        server_of("--cluster-enabled", "yes", "--cluster-port", str(port), "--cluster-node-timeout", "1000")
        for port in bus_ports
    ]
    form_cluster(servers, bus_ports)
    return servers


def test_a_cluster_is_loaded_looked_up_and_says_when_a_node_is_gone(
    nodes: list[Any],
    serving: Callable[..., FeatureStore],
    expected: dict[str, list[Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FEATURES_REDIS_READ_TIMEOUT_MS", "1500")  # 3,000 entities at once, while other tests run
    get_settings.cache_clear()
    places = ",".join(f"127.0.0.1:{node.port}" for node in nodes)
    store = serving(redis_type="redis_cluster", connection_string=places)
    by_url = serving(redis_type="redis_cluster", connection_string=nodes[1].url)
    store.materialize(datetime(1970, 1, 1, tzinfo=UTC), datetime(2024, 6, 1, tzinfo=UTC))

    everyone = {"user_id": list(range(3_000))}
    assert store.get_online_features(FEATURES, everyone).to_dict() == expected
    assert by_url.get_online_features(FEATURES, everyone).to_dict() == expected
    assert asyncio.run(_ask(serving(redis_type="redis_cluster", connection_string=places), everyone)) == expected
    assert all(int(node.client.dbsize()) > 500 for node in nodes)  # the rows are spread

    nodes[2].kill()
    began = time.monotonic()
    with pytest.raises(ServiceUnavailableError, match=r"cannot be reached|is no complete cluster|is too slow"):
        store.get_online_features(FEATURES, everyone)
    assert time.monotonic() - began < 2 * 1.5 + 0.5


@pytest.mark.proof
def test_a_node_killed_during_a_load_leaves_only_right_rows_and_a_rerun_completes_it(
    nodes: list[Any],
    serving: Callable[..., FeatureStore],
    expected: dict[str, list[Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each node in turn, at a moment of its own. Meanwhile a lookup is refused; afterwards each value is old or new."""
    monkeypatch.setenv("FEATURES_REDIS_READ_TIMEOUT_MS", "1500")
    get_settings.cache_clear()
    for node in nodes:
        node.client.config_set("appendonly", "yes")
        node.options = (*node.options, "--appendonly", "yes", "--appendfsync", "always")
    store = serving(redis_type="redis_cluster", connection_string=",".join(f"127.0.0.1:{node.port}" for node in nodes))
    everyone = {"user_id": list(range(3_000))}
    begin, earlier = datetime(1970, 1, 1, tzinfo=UTC), datetime(2024, 5, 1, tzinfo=UTC)
    store.materialize(begin, earlier)
    old = store.get_online_features(FEATURES, everyone).to_dict()
    interrupted = 0
    for place, node in enumerate(nodes):
        ended: list[Exception | None] = []

        def load(ended: list[Exception | None] = ended) -> None:
            try:
                store.materialize(begin, datetime(2024, 6, 1, tzinfo=UTC))
                ended.append(None)
            except Exception as fault:
                ended.append(fault)

        loading = threading.Thread(target=load)
        loading.start()
        time.sleep(0.02 + 0.06 * place)
        node.kill()
        with pytest.raises(ServiceUnavailableError):
            store.get_online_features(FEATURES, everyone)
        loading.join(60)
        (error,) = ended
        interrupted += error is not None
        assert error is None or isinstance(error, ServiceUnavailableError), error
        node.start()
        deadline = time.monotonic() + 20
        while not all(_is_whole(each.client) for each in nodes):
            assert time.monotonic() < deadline, "the nodes did not agree"
            time.sleep(0.05)
        found = store.get_online_features(FEATURES, everyone).to_dict()
        for name, values in found.items():
            rows = zip(values, old[name], expected[name], strict=True)
            assert all(value in (older, newer) for value, older, newer in rows), (node.port, name)
        store.materialize(begin, datetime(2024, 6, 1, tzinfo=UTC))
        assert store.get_online_features(FEATURES, everyone).to_dict() == expected
    print(f"\nkills: {len(nodes)} of a node during a load: {interrupted} certainly interrupted it")


@pytest.mark.proof
def test_keys_are_found_while_their_slot_moves_to_another_node_and_after_that(
    nodes: list[Any], serving: Callable[..., FeatureStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEATURES_REDIS_READ_TIMEOUT_MS", "1500")
    get_settings.cache_clear()
    store = serving(redis_type="redis_cluster", connection_string=nodes[0].url)
    store.materialize(datetime(1970, 1, 1, tzinfo=UTC), datetime(2024, 6, 1, tzinfo=UTC))

    def visits() -> list[Any]:
        rows = {"user_id": [7, 8]}
        found = store.get_online_features(["user_visits:visits"], rows).to_dict()["visits"]
        again = asyncio.run(_ask(serving(redis_type="redis_cluster", connection_string=nodes[0].url), rows))["visits"]
        assert again == found
        return list(found)

    assert visits() == [71, 81]
    slot = key_slot(b"{7}")
    owner = next(node for node in nodes if node.client.execute_command("CLUSTER", "COUNTKEYSINSLOT", slot))
    target = next(node for node in nodes if node is not owner)
    ids = {node.port: node.client.execute_command("CLUSTER", "MYID").decode() for node in nodes}
    target.client.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[owner.port])
    owner.client.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[target.port])
    keys = owner.client.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 100)
    owner.client.execute_command("MIGRATE", "127.0.0.1", target.port, "", 0, 5_000, "KEYS", *keys)
    assert visits() == [71, 81]  # ASK
    for node in (target, owner, *nodes):
        node.client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", ids[target.port])
    assert visits() == [71, 81]  # MOVED

    (key,) = target.client.scan_iter("{7}*")
    target.client.delete(key)
    target.client.rpush(key, "no row")
    for ask in (lambda: store.get_online_features(FEATURES, {"user_id": [8, 7]}), visits):
        with pytest.raises(DataError, match=r"the key \{7\}\w+ .* of another type than a string"):
            ask()
    with pytest.raises(DataError, match="of another type than a string"):
        asyncio.run(_ask(serving(redis_type="redis_cluster", connection_string=nodes[0].url), {"user_id": [7]}))
    store.materialize(datetime(1970, 1, 1, tzinfo=UTC), datetime(2024, 6, 1, tzinfo=UTC))
    assert visits() == [71, 81]


async def _ask(store: FeatureStore, rows: dict[str, list[int]]) -> dict[str, list[Any]]:
    try:
        return (await store.get_online_features_async(FEATURES, rows)).to_dict()
    finally:
        await store.close()
