"""A whole day of the demo from an empty data folder: killed on its way, served, monitored, and done once.

`features run-day` is killed after some seconds, three times; what goes on from there ends with predictions, in batch
and by the model server, and with their monitoring. Then it is run again, and finds nothing to do. The demo's second
model is stopped by its gate, which is what gates are for; a monitored day may alert. Run it as a script.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
DAY, MORNING = "2017-12-31", "2018-01-01"
CLOCK = f"{MORNING}T18:00:00Z"
MODEL, STOPPED = "household_lapse_2017", "model:coupon_response"
MAY_ALERT = f"monitor:{MODEL}"


def main() -> int:
    """Print what was found; 1 where it is not what is promised."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=float, nargs="*", default=[12.0, 25.0, 40.0], metavar="SECONDS")
    kills = parser.parse_args().kills
    with tempfile.TemporaryDirectory(prefix="features-day-") as folder:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("FEATURES_")}
        environment |= {
            "FEATURES_DATA": folder,
            "FEATURES_CLOCK": CLOCK,
            "FEATURES_RUN_DAY_COMPLETE": "true",
            "FEATURES_RUN_DAY_PROMOTE": "true",
        }
        environment["FEATURES_CONTRACTS"] = ran(environment, "demo", "deliver").strip()
        try:
            return prove(Path(folder), environment, kills)
        finally:
            ran(environment, "redis", "stop")


def prove(folder: Path, environment: Mapping[str, str], kills: list[float]) -> int:
    began = time.monotonic()
    killed = sum(interrupted(environment, seconds) for seconds in kills)
    performed = whole_day(environment)
    whole = time.monotonic() - began
    served = serve(environment)
    after = whole_day(environment)  # what the server recorded is collected and watched
    before, files = digest(folder), predictions(folder)
    again = whole_day(environment)
    unchanged = digest(folder) == before
    faults = [
        *(f"{name} is {each['outcome']}: {each['said']}" for name, each in bad(performed).items()),
        *(f"{name} is {each['outcome']} after serving: {each['said']}" for name, each in bad(after).items()),
        *(f"{name} ran a second time: {each['commands']}" for name, each in again.items() if did(name, each)),
    ]
    if not files or not served or not (folder / "monitoring" / MODEL / "report.html").is_file():
        faults.append(f"{files} batch predictions, {served} served, or no report of them")
    if not unchanged:
        faults.append("the run that had nothing to do changed a file")
    for fault in faults:
        print(f"FAULT: {fault}")
    said = f"{killed} kills, {files:,} predictions in batch, {served} served, both monitored; run twice changes nothing"
    print(f"day proof: {said}; {whole:.0f} s from empty" if not faults else f"{len(faults)} faults")
    return int(bool(faults))


def did(name: str, each: Mapping[str, Any]) -> bool:
    """Whether a task ran that had been done: all but what ended badly, which is always tried again."""
    return bool(each["commands"]) and name not in (STOPPED, MAY_ALERT)


def bad(tasks: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The tasks that did not end as the demo's do."""
    expected = (STOPPED, MAY_ALERT)
    return {
        name: each
        for name, each in tasks.items()
        if each["outcome"] not in ("finished", "nothing to do") and (name not in expected or each["code"] != 3)
    }


def interrupted(environment: Mapping[str, str], seconds: float) -> int:
    """Start the day, and kill it with the command that it runs; 1 where it was still at work."""
    process = subprocess.Popen(
        [BIN / "features", "run-day", "--day", DAY],
        cwd=ROOT,
        env=dict(environment),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return 1
    return 0


def whole_day(environment: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Run the day to its end; its tasks by name."""
    ended = subprocess.run(
        [BIN / "features", "run-day", "--day", DAY, "--json"],
        cwd=ROOT,
        env=dict(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=False,
    )
    (day,) = json.loads(ended.stdout)
    return {task["task"]: task for task in day["tasks"]}


def serve(environment: Mapping[str, str]) -> int:
    """Ask the model server for a few households; how many it answered."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [BIN / "features", "model", "serve", MODEL, "--port", str(port)]
    server = subprocess.Popen(command, cwd=ROOT, env=dict(environment), stdout=subprocess.DEVNULL)
    try:
        from transformations.models.serving.client import Client

        client = Client(f"http://127.0.0.1:{port}", seconds=60)
        return len(client.predict(MODEL, [{"household_id": household} for household in range(1, 51)]))
    finally:
        server.terminate()
        server.wait(20)


def predictions(folder: Path) -> int:
    """The rows of the published batches."""
    files = (folder / "predictions" / MODEL / "batch").rglob("day=*/*.parquet")
    return sum(pq.read_metadata(file).num_rows for file in files)


def digest(folder: Path) -> dict[str, str]:
    """The content of all that counts as data: logs, locks, Redis' own files and scratch space apart."""
    rooms = ("raw", "offline", "datasets", "models", "predictions")
    files = [file for room in rooms for file in (folder / room).rglob("*") if file.is_file() and file.suffix != ".lock"]
    return {str(file): sha256(file.read_bytes()).hexdigest() for file in files}


def ran(environment: Mapping[str, str], *arguments: str) -> str:
    ended = subprocess.run(
        [BIN / "features", *arguments], cwd=ROOT, env=dict(environment), stdout=subprocess.PIPE, text=True, check=False
    )
    return ended.stdout


if __name__ == "__main__":
    sys.exit(main())
