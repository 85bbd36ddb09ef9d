"""`make bench-online`: the online store against Feast's own Redis store, each with its own Redis 8 on loopback.

Materialization end to end from Parquet, one row a user and 30 days of them; Redis' memory; a grid of lookups; a steady
thousand lookups a second, alone and beside a materialization; one on-demand feature; `feast serve` over HTTP.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from harness import Bar, Figures, Finding, in_fresh_process, in_turns, options, report, say
from online_load import (
    GRID,
    HTTP_CONNECTIONS,
    RATE,
    answer,
    case_name,
    http_requests,
    lookup_grid,
    on_demand_cost,
    steady,
    steady_beside_materialization,
    steady_pings,
)
from online_sides import (
    DAYS,
    FEATURES,
    VIEWS,
    Side,
    expected,
    expected_of_table,
    materialize,
    materialize_arguments,
    prepare,
    references,
    run,
    servers,
)

# How many times faster than stock a lookup's p50 must be.
LOOKUP_BARS = {(1, 1): 2, (1, 5): 5, (100, 1): 12, (100, 5): 20, (1_000, 5): 30}
FASTER_MATERIALIZATION = 25
COMMAND = "the whole command"
STEADY_SECONDS = 8.0
HTTP_SECONDS = 4.0
LOOKED_UP = [f"stats_{view}" for view in range(VIEWS)]

Measurements = dict[str, dict[str, list[float]]]
Part = Callable[[Mapping[str, Side], int], list[Finding]]


def main() -> None:
    """Measure the parts that were asked for, and report."""
    parser = options(__doc__ or "")
    parser.add_argument("--only", action="append", choices=PARTS, help="one part; may be repeated (default: all)")
    parser.add_argument("--users", type=int, default=1_000_000, metavar="N", help="materialized (default 1,000,000)")
    parser.add_argument("--stock-users", type=int, default=100_000, metavar="N", help="by stock (default 100,000)")
    parser.add_argument("--lookup-users", type=int, default=20_000, metavar="N", help="looked up (default 20,000)")
    parser.add_argument("--full", action="store_true", help="stock materializes as many users as we do")
    given = parser.parse_args()
    stock_users = given.users if given.full else min(given.users, given.stock_users)
    findings: list[Finding] = []
    with servers(["stock", "ours"]) as ports:
        sides = {
            "stock": Side("stock", stock_users, given.lookup_users, ports["stock"]),
            "ours": Side("ours", given.users, given.lookup_users, ports["ours"]),
        }
        for side in sides.values():
            in_fresh_process(prepare, side)
        for name in given.only or PARTS:
            say(f"— {name}")
            findings += PARTS[name](sides, given.repeat)
    report("online", findings, _notes(sides))


def measure_materialization(sides: Mapping[str, Side], repeat: int) -> list[Finding]:
    """One row a user and 30 days of rows; ours as a whole command too, Feast's start-up included."""
    findings = []
    for name, case in (("daily", "one row a user"), ("history", f"{DAYS} days of rows a user")):
        measured = in_turns(
            {
                "stock": _materialized(sides["stock"], name, materialize_in_process),
                "ours": _materialized(sides["ours"], name, materialize_in_process),
                COMMAND: _materialized(sides["ours"], name, materialize_by_command),
            },
            repeat,
        )
        stock, bar = measured["stock"]["rows/s"], Bar(FASTER_MATERIALIZATION, "ratio", at_least=True)
        findings += [
            Finding(f"materialize {case}", "rate", measured["ours"]["rows/s"], "rows/s", stock, bar),
            Finding(f"materialize {case}: {COMMAND}", "rate", measured[COMMAND]["rows/s"], "rows/s", stock, bar),
            Finding(
                f"memory of one view, {case}",
                "bytes a row",
                measured["ours"]["bytes a row"],
                "bytes",
                measured["stock"]["bytes a row"],
                Bar(0.6, "ratio"),
            ),
        ]
    starts = in_turns({COMMAND: lambda: {"seconds": run(sides["ours"], "version")}}, repeat)[COMMAND]["seconds"]
    findings.append(Finding(f"of {COMMAND}, what `feast version` takes", "time", starts, "s"))
    return findings


def materialize_in_process(side: Side, name: str) -> float:
    """Seconds of `store.materialize`, in a process that has imported Feast."""
    return float(in_fresh_process(materialize, side, [name]))


def materialize_by_command(side: Side, name: str) -> float:
    """Seconds of the whole command, as a shell sees it."""
    return run(side, *materialize_arguments(name))


def _materialized(side: Side, name: str, load_view: Callable[[Side, str], float]) -> Callable[[], Figures]:
    def load() -> Figures:
        side.redis().flushall()
        empty = _used_bytes(side)
        seconds = load_view(side, name)
        used = _used_bytes(side) - empty
        _check(
            side, [f"{name}:{name}_{each}" for each in range(FEATURES)], lambda users: expected_of_table(users, name)
        )
        return {"seconds": seconds, "rows/s": side.users / seconds, "bytes a row": used / side.users}

    return load


def measure_memory(sides: Mapping[str, Side], repeat: int) -> list[Finding]:
    """Redis' memory for the five views that are looked up."""
    used = {}
    for name, side in sides.items():
        side.redis().flushall()
        empty = _used_bytes(side)
        in_fresh_process(materialize, side, LOOKED_UP)
        used[name] = (_used_bytes(side) - empty) / 2**20
    case = f"memory of {VIEWS} views, {sides['ours'].lookup_users:,} users each"
    return [Finding(case, "used_memory", [used["ours"]], "MiB", [used["stock"]], Bar(0.6, "ratio"))]


def measure_lookups(sides: Mapping[str, Side], repeat: int) -> list[Finding]:
    """The grid: p50 with its bars, p99 and processor time beside it, and p50 against a bare PING beside it."""
    _load_for_lookups(sides)
    for side in sides.values():
        _check(side, references(VIEWS), lambda users: expected(users, VIEWS))
    measured = _in_turns(sides, lookup_grid, repeat)
    findings = []
    for case in GRID:
        bar = Bar(1 / LOOKUP_BARS[case], "ratio")
        for metric, limit in (("p50", bar), ("p99", None), ("CPU", None)):
            ours, stock = (measured[side][f"{case_name(*case)} {metric}"] for side in ("ours", "stock"))
            findings.append(Finding(f"lookup {case_name(*case)}", metric, ours, "ms", stock, limit))
        ours, pings = (measured["ours"][f"{case_name(*case)} {metric}"] for metric in ("p50", "PING"))
        findings.append(Finding(f"lookup {case_name(*case)}, against a bare PING", "p50", ours, "ms", pings))
    return findings


def measure_steady_load(sides: Mapping[str, Side], repeat: int) -> list[Finding]:
    """Single lookups at a steady rate, alone and beside a materialization of 30 days of rows."""
    _load_for_lookups(sides)
    ours = sides["ours"]
    alone = _in_turns(sides, _steady_alone, repeat)
    pings = _in_turns({"PING": ours}, _pings_alone, repeat)["PING"]
    beside = in_turns({"ours": lambda: _figures(steady_beside_materialization(ours, "daily"))}, repeat)["ours"]
    case = f"single lookups at {RATE:,} a second"
    rate = Finding(case, "rate", alone["ours"]["requests a second"], "1/s", alone["stock"]["requests a second"])
    return [
        *_latencies(case, alone["ours"], Bar(0.6), alone["stock"]),
        rate,
        *_latencies("of these, what a bare PING takes", pings),
        *_latencies(f"{case}, beside a materialization", beside, Bar(3)),
        Finding("that materialization", "time", beside["materialization seconds"], "s"),
    ]


def _latencies(
    case: str, ours: Mapping[str, list[float]], bar: Bar | None = None, stock: Mapping[str, list[float]] | None = None
) -> list[Finding]:
    """The bar is for all that was looked up; what was so undisturbed tells how much of a miss is the machine's."""
    bars = {"p50": None, "p99": bar, "undisturbed p99": bar}
    found = [
        Finding(case, name, ours[name], "ms", (stock or {}).get(name, ()), bars[name]) for name in bars if name in ours
    ]
    share = [100 * share for share in ours["undisturbed share"]]
    return [*found, Finding(case, "undisturbed share", share, "%")]


def _pings_alone(side: Side) -> dict[str, float]:
    return steady_pings(side, STEADY_SECONDS)


def _steady_alone(side: Side) -> dict[str, float]:
    return steady(side, STEADY_SECONDS)


def measure_on_demand(sides: Mapping[str, Side], repeat: int) -> list[Finding]:
    """What one on-demand feature adds to a single lookup."""
    _load_for_lookups(sides)
    measured = _in_turns({"ours": sides["ours"]}, on_demand_cost, repeat)["ours"]
    more = [one - other for one, other in zip(measured["with"], measured["without"], strict=True)]
    case = f"one on-demand feature beside {case_name(1, 1)}"
    return [Finding(case, "added to p50", more, "µs", bar=Bar(100))]


def measure_http(sides: Mapping[str, Side], repeat: int) -> list[Finding]:
    """`feast serve`, one worker."""
    _load_for_lookups(sides)
    measured = _in_turns(sides, _http, repeat)
    ours, stock = (measured[side]["requests a second"] for side in ("ours", "stock"))
    bar = Bar(1.25, "ratio", at_least=True)
    return [Finding(f"feast serve, {case_name(100, 1)}", "rate", ours, "requests/s", stock, bar)]


def _http(side: Side) -> dict[str, float]:
    return http_requests(side, HTTP_SECONDS)


PARTS: Mapping[str, Part] = {
    "materialize": measure_materialization,
    "memory": measure_memory,
    "lookups": measure_lookups,
    "steady": measure_steady_load,
    "on-demand": measure_on_demand,
    "http": measure_http,
}


def _load_for_lookups(sides: Mapping[str, Side]) -> None:
    """Materialize the five views that are looked up, where Redis does not hold them."""
    for side in sides.values():
        client = side.redis()
        if client.get("bench:loaded"):
            continue
        client.flushall()
        say(f"{side.name}: materializing {VIEWS} views of {side.lookup_users:,} users")
        in_fresh_process(materialize, side, LOOKED_UP)
        client.set("bench:loaded", 1)


def _check(side: Side, features: list[str], right: Callable[[list[int]], dict[str, list[Any]]]) -> None:
    """Refuse to report on a side that answers wrongly."""
    there = side.lookup_users if features[0].startswith("stats_") else side.users
    users = random.Random(len(features)).sample(range(there), 500)
    found = in_fresh_process(answer, side, features, users)
    assert found == right(users), f"{side.name}: lookups of {features[0]} … are wrong"


def _in_turns(sides: Mapping[str, Side], measure: Callable[[Side], dict[str, float]], repeat: int) -> Measurements:
    def turn(side: Side) -> Callable[[], Figures]:
        return lambda: _figures(in_fresh_process(measure, side))

    return in_turns({name: turn(side) for name, side in sides.items()}, repeat)


def _used_bytes(side: Side) -> int:
    return int(cast("dict[str, Any]", side.redis().info("memory"))["used_memory"])


def _figures(result: object) -> dict[str, float]:
    assert isinstance(result, dict)
    return result


def _notes(sides: Mapping[str, Side]) -> Sequence[str]:
    stock, ours = sides["stock"], sides["ours"]
    materialized = (
        f"Materialized: {ours.users:,} users by us, {stock.users:,} by stock, whose rate does not rise with "
        "their number (--full: as many). Rates leave Feast's own start-up out, except ours of `the whole command`."
    )
    looked_up = (
        f"Looked up: {ours.lookup_users:,} users in {VIEWS} views of {FEATURES} features, to_dict on both sides. "
        "Every value of 500 users was compared with what it must be, on both sides."
    )
    loads = (
        "Steady load: one process, open loop: a lookup's time counts from when it was due. Undisturbed: blocks of a "
        "tenth of a second in which the hypervisor took no processor time from this machine (steal in /proc/stat). "
        f"HTTP: {HTTP_CONNECTIONS} kept-alive connections."
    )
    return [materialized, looked_up, loads]


if __name__ == "__main__":
    main()
