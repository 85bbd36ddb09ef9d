"""Connections to Redis: from a connection string, a URL or our settings; quick to give up, and clear about why.

Three forms tell where Redis is: Feast's `host:6379,ssl=true,username=…,password=…`, any URL of redis-py
(`redis://`, `rediss://` for TLS, `unix:///path`), and, where the yaml has no connection string, FEATURES_REDIS_URL.
Each becomes a single node, Redis Cluster or Sentinel by Feast's `redis_type`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from types import TracebackType
from typing import Any, TypeAlias, cast

import redis
from feast.infra.online_stores.redis import RedisOnlineStoreConfig, RedisType
from redis import Redis, RedisCluster
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ExponentialBackoff
from redis.exceptions import (
    AuthenticationError,
    ClusterError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from transformations.engine.base.errors import UsageError
from transformations.engine.base.settings import get_settings
from transformations.engine.base.words import has_unencoded_password, show_address, show_reason
from transformations.local.redis import driver_info, embedded_url, redis_url
from transformations.stores.base.errors import UnavailableError, other_type_of_ours
from transformations.stores.base.feast_seams import redis_address
from transformations.stores.redis.idle import in_time
from transformations.stores.redis.wire import is_wrong_type

SyncClient: TypeAlias = Redis | RedisCluster
AsyncClient: TypeAlias = redis.asyncio.Redis | redis.asyncio.RedisCluster

_LOG = logging.getLogger(__name__)
_RETRIES = 2
# A cluster's client also retries what timed out, after asking for the new topology: once is enough to find it.
_CLUSTER_RETRIES = 1
_CHECK = (
    "Check FEATURES_REDIS_URL and the server (`features doctor`); "
    "where no URL is set, `features redis start` starts the project's own."
)

_ENCODE = "In a URL, percent-encode what a password has of / ? # @ : % and blanks: %2F %3F %23 %40 %3A %25 %20."


def connect(config: RedisOnlineStoreConfig, timeout_ms: int, retries: int | None = None) -> SyncClient:
    """A client that waits this long for a connection and for each answer, and tries a lost connection again twice.

    retries: how often instead.

    Timeouts that the connection string or URL names itself stay. UsageError for an address that cannot mean anything.
    """
    client: SyncClient = _make_client(redis, config, timeout_ms, Retry, retries)
    return client


def connect_async(config: RedisOnlineStoreConfig, timeout_ms: int) -> AsyncClient:
    """As `connect`, for the running event loop; it connects with the first command."""
    client: AsyncClient = _make_client(redis.asyncio, config, timeout_ms, AsyncRetry)
    return client


class Reaching:
    """Turns an error of Redis, or of the way to it, into an UnavailableError (HTTP 503): what happened, where, and what
    to do.
    """

    __slots__ = ("_config",)

    def __init__(self, config: RedisOnlineStoreConfig) -> None:
        self._config = config

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            return
        if is_wrong_type(error):
            raise other_type_of_ours("one of the keys {features}:*") from error
        if isinstance(error, (RedisError, RedisClusterException)):
            happened, remedy = _diagnosis(error)
            where, reason = shown_address(self._config), show_reason(error)
            raise UnavailableError(f"Redis at {where} {happened} ({reason}). {remedy}") from _strip_words(error, reason)


def shown_address(config: RedisOnlineStoreConfig) -> str:
    """Where Redis is, without secrets; starts nothing."""
    configured = get_settings().redis_url
    given = config.connection_string or (configured.get_secret_value() if configured else "")
    return show_address(given) if given else embedded_url()


def warn_of_eviction(client: SyncClient, config: RedisOnlineStoreConfig) -> None:
    """Log a warning where Redis, once full, would drop rows instead of refusing new ones: nobody would see them go."""
    with Reaching(config):
        try:
            facts = cast("dict[str, Any]", in_time(client, lambda: client.info("memory", **_any_node(client))))
        except NoPermissionError:  # an ACL need not let a feature server look
            return
    policy, limit = facts.get("maxmemory_policy", "noeviction"), facts.get("maxmemory", 0)
    if limit and policy != "noeviction":
        lost = "rows of views with a ttl" if policy.startswith("volatile") else "rows"
        _LOG.warning(
            "Redis at %s silently drops %s when it reaches its limit of %s bytes (maxmemory-policy %s). "
            "Set maxmemory-policy noeviction: a full Redis then refuses new rows and keeps those it has.",
            shown_address(config),
            lost,
            f"{limit:,}",
            policy,
        )


def _make_client(
    library: Any, config: RedisOnlineStoreConfig, timeout_ms: int, retrying: Any, retries: int | None = None
) -> Any:
    """A client of redis-py's blocking or asynchronous half: they have the same names."""
    address = _configured_address(config)
    options: dict[str, Any] = {"socket_timeout": timeout_ms / 1000, "socket_connect_timeout": timeout_ms / 1000}
    if "lib_name=" not in address and "lib_version=" not in address:
        options["driver_info"] = driver_info()
    is_cluster = config.redis_type == RedisType.redis_cluster
    usual = _CLUSTER_RETRIES if is_cluster else _RETRIES
    retry = retrying(_backoff(), usual if retries is None else retries, (RedisConnectionError,))
    with Reaching(config), _refuse_misread(address):
        client = _open_client_at(library, config, address, retry, options)
        if not is_cluster:
            client.connection_pool.make_connection()  # does not connect, but refuses unknown parameters
        return client


def _open_client_at(
    library: Any, config: RedisOnlineStoreConfig, address: str, retry: Any, options: dict[str, Any]
) -> Any:
    is_cluster = config.redis_type == RedisType.redis_cluster
    if "://" in address:
        kind = library.RedisCluster if is_cluster else library.Redis
        return kind.from_url(address, retry=retry, **options)
    nodes, given = _parse_host_list(address)
    options |= given
    if is_cluster:
        startup = [library.cluster.ClusterNode(host, port) for host, port in nodes]
        return library.RedisCluster(startup_nodes=startup, retry=retry, **options)
    if config.redis_type == RedisType.redis_sentinel:
        once = type(retry)(_backoff(), 0, (RedisConnectionError,))  # `retry` asks all of them again
        asked = {name: value for name, value in options.items() if name.startswith("socket_")} | {"retry": once}
        primary = library.Sentinel(nodes, sentinel_kwargs=asked, **options).master_for(config.sentinel_master)
        primary.set_retry(retry)
        return primary
    place = {"host": nodes[0][0], "port": nodes[0][1]} if nodes else {}  # none: `unix_socket_path=…` says it
    return library.Redis(retry=retry, **place, **options)


def _strip_words(error: Exception, reason: str) -> Exception:
    """An error to be shown as the cause of another: with its trace, but without words that may repeat a secret."""
    return RedisError(reason).with_traceback(error.__traceback__)


def _diagnosis(error: Exception) -> tuple[str, str]:
    """What happened, and the remedy."""
    if isinstance(error, RedisTimeoutError):
        return "is too slow", _CHECK
    if isinstance(error, AuthenticationError):
        return "refused the username or password", "Correct them in FEATURES_REDIS_URL or the connection string."
    if isinstance(error, RedisConnectionError):
        return "cannot be reached", _CHECK
    if isinstance(error, OutOfMemoryError):
        return (
            "is full and refused to write",
            "Rows written so far are kept. Raise its maxmemory or remove views, then repeat the command.",
        )
    if isinstance(error, NoPermissionError):
        return "does not permit its user what is needed", "Grant the user that command and key in Redis (ACL SETUSER)."
    if isinstance(error, ReadOnlyError):
        return "is a read-only replica", "Give the address of the primary."
    if isinstance(error, (ClusterError, RedisClusterException)):
        return "is no complete cluster", "Look at CLUSTER INFO on its nodes, or correct `redis_type`."
    return "refused a command", "Look at the server's log."


def _configured_address(config: RedisOnlineStoreConfig) -> str:
    if config.connection_string:
        return config.connection_string
    if config.redis_type == RedisType.redis_sentinel:
        raise UsageError(
            "redis_type redis_sentinel needs the sentinels' addresses. Give them in feature_store.yaml: "
            "connection_string: 'sentinel1:26379,sentinel2:26379'."
        )
    return redis_url()


def _parse_host_list(connection_string: str) -> tuple[list[tuple[str, int]], dict[str, Any]]:
    """Hosts and options of Feast's form of address.

    Feast reads every option as JSON where it can, and so would send the password `1e5` as 100000.0. Of the password
    `a,b` it would make the password `a` and a host `b`: ValueError.
    """
    parts = [part for part in connection_string.split(",") if part]
    if any("=" in part and "=" not in following for part, following in pairwise(parts)):
        raise ValueError("a host behind a parameter: a password with a comma, which this form cannot have")
    nodes, options = redis_address(connection_string)
    given = dict(part.split("=", 1) for part in connection_string.split(",") if "=" in part)
    options |= {name: given[name] for name in ("username", "password") if name in given}
    return [(node["host"], int(node.get("port", 6379))) for node in nodes], options


def _any_node(client: SyncClient) -> dict[str, Any]:
    return {"target_nodes": RedisCluster.RANDOM} if isinstance(client, RedisCluster) else {}


def _backoff() -> ExponentialBackoff:
    """Redis-py's own waits seconds between attempts: 6.9 s to admit that a node is gone, 43 s of two sentinels."""
    return ExponentialBackoff(cap=0.05, base=0.01)


@contextmanager
def _refuse_misread(address: str) -> Iterator[None]:
    """Turns an address that redis-py or Feast cannot read into a UsageError that repeats none of it."""
    if address.startswith(("redis://", "rediss://")) and has_unencoded_password(address):
        raise UsageError(f"{show_address(address)} can be read in two ways. {_ENCODE}")
    try:
        yield
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise UsageError(
            f"{show_address(address)} is no address of Redis ({type(error).__name__}). Give redis://host:6379/0, "
            f"rediss:// for TLS, unix:///path, or Feast's host:6379,password=… with parameters of redis-py. {_ENCODE}"
        ) from None
