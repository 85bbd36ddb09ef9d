"""What the online benchmark runs in processes of its own: lookups, a steady load, HTTP clients, a materialization."""

from __future__ import annotations

import asyncio
import http.client
import json
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from online_sides import FEATURES, Side, expected, free_port, materialize, references, wait_for

if TYPE_CHECKING:
    from feast import FeatureStore

# Users and views of a lookup; the seconds that each case takes on either side, and the fewest lookups that tell a p99.
GRID = ((1, 1), (1, 5), (100, 1), (100, 5), (1_000, 5))
SECONDS_A_CASE = 2.0
FEWEST, MOST = 12, 4_000
RATE = 1_000
HTTP_CONNECTIONS = 2
_SPIN_SECONDS = 0.0003
_SEED = 7


def lookup_grid(side: Side) -> dict[str, float]:
    """Milliseconds of a lookup, p50 and p99, and this process' own time for one, of each case of the grid.

    After each case, a bare PING, which is the least that any lookup can take.
    """
    store, chosen, client = side.store(), random.Random(_SEED), side.redis()
    figures: dict[str, float] = {}

    def ping() -> float:
        began = time.perf_counter()
        client.ping()
        return time.perf_counter() - began

    for users, views in GRID:
        features = references(views)

        def ask(users: int = users, features: list[str] = features) -> object:
            rows = {"user_id": chosen.sample(range(side.lookup_users), users)}
            began = time.perf_counter()
            store.get_online_features(features, rows).to_dict()
            return time.perf_counter() - began

        case = case_name(users, views)
        figures |= {f"{case} {name}": value for name, value in _timed(ask).items()}
        figures[f"{case} PING"] = _timed(ping)["p50"]  # a moment later: what disturbs the machine disturbs both
    return figures


def case_name(users: int, views: int) -> str:
    """A case of the grid in words."""
    return f"{users:,} × {views * FEATURES} features" + (f" of {views} views" if views > 1 else "")


def _timed(ask: Callable[[], Any]) -> dict[str, float]:
    """Milliseconds: p50, p99, and the processor time of one in this process."""
    for _ in range(5):
        ask()
    found: list[float] = []
    until, used = time.perf_counter() + SECONDS_A_CASE, time.process_time()
    while len(found) < FEWEST or (time.perf_counter() < until and len(found) < MOST):
        found.append(ask() * 1_000)
    return {**_percentiles(found), "CPU": (time.process_time() - used) / len(found) * 1_000}


def _percentiles(found: list[float]) -> dict[str, float]:
    return {"p50": statistics.median(found), "p99": statistics.quantiles(found, n=100, method="inclusive")[98]}


def answer(side: Side, features: list[str], users: list[int]) -> dict[str, list[Any]]:
    """What the side answers."""
    found: dict[str, list[Any]] = side.store().get_online_features(features, {"user_id": users}).to_dict()
    return found


def on_demand_cost(side: Side) -> dict[str, float]:
    """Microseconds of a single lookup of 20 features, with one on-demand feature and without, turn by turn."""
    store, chosen = side.store(), random.Random(_SEED)
    without, both = references(1), [*references(1), "now:spent_share"]
    found: dict[str, list[float]] = {"without": [], "with": []}
    for turn in range(2_200):
        for name, features in (("without", without), ("with", both)):
            rows = {"user_id": [chosen.randrange(side.lookup_users)]}
            began = time.perf_counter()
            store.get_online_features(features, rows).to_dict()
            if turn >= 200:
                found[name].append((time.perf_counter() - began) * 1e6)
    return {name: statistics.median(values) for name, values in found.items()}


def steady(side: Side, seconds: float) -> dict[str, float]:
    """Milliseconds from when a single lookup was due until it was answered, at RATE a second, for so long."""
    return _for(seconds, "steady", side)


def steady_pings(side: Side, seconds: float) -> dict[str, float]:
    """The same of Redis' PING, which is the least that any lookup can take."""
    return _for(seconds, "pings", side)


def _for(seconds: float, task: str, side: Side) -> dict[str, float]:
    with _worker(task, side) as load:
        load.go()
        time.sleep(seconds)
        return load.result()


def steady_beside_materialization(side: Side, view: str) -> dict[str, float]:
    """The same while a materialization of this view writes into the same Redis, no shorter and no longer."""
    with _worker("steady", side) as load, _worker("materialize", side, view) as writer:
        writer.go()
        load.go()
        seconds = writer.wait()
        return load.result() | {"materialization seconds": seconds["seconds"]}


def http_requests(side: Side, seconds: float) -> dict[str, float]:
    """Requests a second of `feast serve` with one worker, 100 users × 20 features, over kept-alive connections."""
    port = free_port()
    arguments = ["serve", "-h", "127.0.0.1", "-p", str(port), "-w", "1", "--no-access-log", "--max-requests", "0"]
    with (side.repository / "serve.log").open("w") as log:
        server = subprocess.Popen(side.command(*arguments), env=side.environment, stdout=log, stderr=log)
        try:
            wait_for(port)
            return _requests(side, port, seconds)
        finally:
            server.terminate()
            server.wait(timeout=30)


def _requests(side: Side, port: int, seconds: float) -> dict[str, float]:
    chosen = random.Random(_SEED)
    bodies = [
        json.dumps({"features": references(1), "entities": {"user_id": chosen.sample(range(side.lookup_users), 100)}})
        for _ in range(50)
    ]
    _check_answer(port, bodies[0])
    answered: list[int] = []
    _post(port, bodies, time.perf_counter() + 1)
    until = time.perf_counter() + seconds
    threads = [
        threading.Thread(target=lambda: answered.append(_post(port, bodies, until))) for _ in range(HTTP_CONNECTIONS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"requests a second": sum(answered) / seconds}


def _check_answer(port: int, body: str) -> None:
    """Refuse to time a server that answers wrongly."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/get-online-features", body.encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        answer = json.load(response)
    columns = (result["values"] for result in answer["results"])
    found = dict(zip(answer["metadata"]["feature_names"], columns, strict=True))
    assert found == expected(json.loads(body)["entities"]["user_id"], 1), "feast serve answers wrongly"


def _post(port: int, bodies: list[str], until: float) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {"Content-Type": "application/json"}
    for answered in count():
        if time.perf_counter() >= until:
            connection.close()
            return answered
        connection.request("POST", "/get-online-features", bodies[answered % len(bodies)], headers)
        response = connection.getresponse()
        content = response.read()
        assert response.status == 200, content
    raise AssertionError("count() ended")


class _Worker:
    """A process that says when it is ready, begins when told to, and ends when told to or when it is done."""

    def __init__(self, log: IO[bytes], task: str, side: Side, *arguments: str) -> None:
        described = json.dumps([side.name, side.users, side.lookup_users, side.port])
        self._log = log
        self.process = subprocess.Popen(
            [sys.executable, __file__, task, described, *arguments],
            env=side.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        assert self._line() == "ready"

    def go(self) -> None:
        """Let it begin."""
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def wait(self) -> dict[str, float]:
        """What it found, once it is done by itself."""
        found: dict[str, float] = json.loads(self._line())
        return found

    def result(self) -> dict[str, float]:
        """What it has found up to now."""
        self.go()
        return self.wait()

    def _line(self) -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(">"):
                return line[1:].strip()
        self._log.seek(0)
        raise AssertionError(f"{self.process.args!r} ended:\n{self._log.read().decode()[-4_000:]}")


@contextmanager
def _worker(task: str, side: Side, *arguments: str) -> Iterator[_Worker]:
    with tempfile.TemporaryFile() as log:
        worker = _Worker(log, task, side, *arguments)
        try:
            yield worker
        finally:
            worker.process.kill()
            worker.process.wait()


def _steady_lookups(side: Side) -> dict[str, float]:
    store, chosen, features = side.store(), random.Random(_SEED), references(1)
    rows = [{"user_id": [chosen.randrange(side.lookup_users)]} for _ in range(10_000)]
    asyncio.run(_begin(store))
    return _steady(lambda number: store.get_online_features(features, rows[number % len(rows)]).to_dict())


async def _begin(store: FeatureStore) -> None:
    """What every server does first."""
    await store.initialize()
    await store.close()


def _steady_pings(side: Side) -> dict[str, float]:
    client = side.redis()
    return _steady(lambda _: client.ping())


def _steady(ask: Callable[[int], object]) -> dict[str, float]:
    """An open loop: what is asked late because an answer was late counts from when it was due.

    Only where the loop itself, with nothing to wait for but its timer, was woken late is the schedule put off by as
    much. `undisturbed` are the blocks of a tenth of a second in which nothing was taken from this machine.
    """
    for number in range(300):
        ask(number)
    stop = threading.Event()
    _await_go()

    def stop_when_told() -> None:
        _await_go(said=False)
        stop.set()

    threading.Thread(target=stop_when_told, daemon=True).start()
    found: list[float] = []
    undisturbed: list[float] = []
    began = due = time.perf_counter()
    while not stop.is_set() and len(found) < 60 * RATE:
        stolen_before, block = _stolen_ticks(), len(found)
        for number in range(block, block + RATE // 10):
            if time.perf_counter() < due:
                _wait_until(due)
                due = time.perf_counter()
            ask(number)
            found.append((time.perf_counter() - due) * 1_000)
            due += 1 / RATE
        if _stolen_ticks() == stolen_before:
            undisturbed += found[block:]
    figures = _percentiles(found) | {"requests a second": len(found) / (time.perf_counter() - began)}
    figures["undisturbed share"] = len(undisturbed) / len(found)
    if len(undisturbed) >= RATE:  # fewer tell no p99
        figures |= {f"undisturbed {name}": value for name, value in _percentiles(undisturbed).items()}
    return figures


def _wait_until(due: float) -> None:
    while (early := due - time.perf_counter()) > 0:
        if early > _SPIN_SECONDS:
            time.sleep(early - _SPIN_SECONDS)


def _stolen_ticks() -> int:
    """Hundredths of a second in which a hypervisor kept a processor of this machine for others; 0 where none tells."""
    try:
        with Path("/proc/stat").open("rb") as told:
            return int(told.readline().split()[8])
    except (OSError, IndexError):
        return 0


def _materialization(side: Side, view: str) -> dict[str, float]:
    side.store()  # everything is imported before it begins
    import transformations.stores.loading  # noqa: F401

    _await_go()
    return {"seconds": materialize(side, [view])}


def _await_go(said: bool = True) -> None:
    if said:
        print(">ready", flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    task, described, *rest = sys.argv[1:]
    tasks: dict[str, Callable[..., dict[str, float]]] = {
        "steady": _steady_lookups,
        "pings": _steady_pings,
        "materialize": _materialization,
    }
    result = tasks[task](Side(*json.loads(described)), *rest)
    print(f">{json.dumps(result)}", flush=True)
