"""Install exactly what each Dockerfile installs into a new environment, start its command, and ask for its health.

A server answers from a small project: its health check says so before the start period is over, and so does a lookup
or a prediction. The batch command shows its plan. No library of the system is needed that the image lacks. There is no
home folder, as in the image. `make deploy-proof` calls it. No docker is needed.

    python tests/deploy/run.py                  every role
    python tests/deploy/run.py serve            one
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.deploy.dockerfiles import ROOT, Dockerfile, read
from tests.worlds import weekly

SECONDS = 60
HOME = "/dev/null/none"
"""The user of the images has no home folder, and cannot make one."""
ASKED = {
    "serve": ("/get-online-features", {"feature_service": weekly.SERVICE, "entities": {"user_id": [7]}}),
    "predict": (f"/v1/models/{weekly.MODEL}/predictions", {"rows": [{"user_id": 7}]}),
}
IN_BASE = (
    r"linux-vdso|ld-linux|lib(c|m|dl|rt|util|pthread|resolv|gcc_s|stdc\+\+|z|ssl|crypto|lzma|bz2|ffi|expat|uuid)[-.]"
)
"""Libraries of the system that `python:3.12-slim` has."""
BROUGHT_BY = {"libgomp1": "libgomp.so.1"}
"""Packages of the system that an image may install, and the library of each."""


def main() -> int:
    """Print what each role needs and how it started; 1 where one did not."""
    files = {file.role: file for file in read()}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("roles", nargs="*", choices=[[], *files], metavar="ROLE")
    roles = parser.parse_args().roles or list(files)
    faults = 0
    with tempfile.TemporaryDirectory(prefix="features-served-") as place, served(Path(place), roles) as project:
        for role in roles:
            with tempfile.TemporaryDirectory(prefix=f"features-{role}-") as folder:
                said = tried(files[role], Path(folder), Path(place), project)
            faults += "FAULT" in said
            print(f"{role}: {said}", flush=True)
    return int(bool(faults))


@contextmanager
def served(place: Path, roles: list[str]) -> Iterator[dict[str, str]]:
    """A project in a folder for servers to answer from, its Redis running: their environment; none without servers."""
    if not set(roles) & set(ASKED):
        yield {}
        return
    command = [sys.executable, ROOT / "tests" / "deploy" / "served.py", place]
    told = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
    environment: dict[str, str] = json.loads(told.splitlines()[-1])
    try:
        yield {name: value for name, value in environment.items() if name != "FEATURE_REPO_DIR_ENV_VAR"}
    finally:
        stop = [Path(sys.executable).with_name("features"), "redis", "stop"]
        ours = {name: value for name, value in environment.items() if name != "FEATURES_REDIS_URL"}
        subprocess.run(stop, env={**os.environ, **ours}, stdout=subprocess.DEVNULL, check=True)


def tried(file: Dockerfile, folder: Path, place: Path, project: Mapping[str, str]) -> str:
    """One role, in a folder as its image has them; a server with the project's repository in place of the demo's."""
    venv, home = folder / "venv", folder / "srv"
    build = folder / "build"
    for path in file.copied:
        is_repository = path == "feature_repo"
        origin = place / "repo" if is_repository and file.role in ASKED else ROOT / path
        target = (home if is_repository else build) / path
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if origin.is_dir() else shutil.copy)(origin, target)
    began = time.monotonic()
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    pip = [venv / "bin" / "pip", "install", "-q", "--disable-pip-version-check", *file.installed]
    ended = subprocess.run(pip, cwd=build, capture_output=True, text=True, check=False)
    if ended.returncode:
        return f"FAULT: pip: {ended.stderr[-1_000:]}"
    installed = time.monotonic() - began
    size = sum(each.stat().st_size for each in venv.rglob("*") if each.is_file() and not each.is_symlink())
    if lacking := lacked(file, venv):
        return f"FAULT: the image has no {', '.join(lacking)}"
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith(("FEATURES_", "PYTHON"))},
        **{key: value for key, value in file.variables.items() if key not in ("PATH", "FEATURES_DATA")},
        "PATH": f"{venv / 'bin'}:{os.environ['PATH']}",
        "HOME": HOME,
    }
    said = f"{size / 1e6:,.0f} MB installed in {installed:.0f} s; "
    if file.role in ASKED:
        return said + answered(file, environment | project, home)
    nowhere = {"FEATURES_DATA": str(folder / "data"), "FEATURES_REDIS_URL": "redis://127.0.0.1:1/0"}
    return said + planned([*file.command, "--day", "2020-01-01", "--dry-run"], environment | nowhere, home)


def lacked(file: Dockerfile, venv: Path) -> list[str]:
    """The libraries of the system that what is installed needs and the image lacks; a desktop's, for Java, apart."""
    libraries = [each for each in venv.rglob("*.so*") if each.is_file() and "java-runtime" not in each.parts]
    ended = subprocess.run(["ldd", *libraries], capture_output=True, text=True, check=False)
    needed = {Path(name).name for name in re.findall(r"^\s+(\S+\.so\S*) ", ended.stdout, re.MULTILINE)}
    brought = {each.name for each in libraries} | {BROUGHT_BY[package] for package in file.packages}
    return sorted(name for name in needed - brought if not re.match(IN_BASE, name))


def planned(command: list[str], environment: Mapping[str, str], home: Path) -> str:
    ended = subprocess.run(command, cwd=home, env=dict(environment), capture_output=True, text=True, check=False)
    tasks = [line for line in ended.stdout.splitlines() if line.startswith(("ingestion ", "features "))]
    if ended.returncode or not tasks:
        return f"FAULT: code {ended.returncode}: {ended.stderr[-500:]}"
    return f"`{' '.join(command)}` shows {len(tasks)} tasks"


def answered(file: Dockerfile, environment: Mapping[str, str], home: Path) -> str:
    """The server is healthy before its start period is over, and then answers."""
    log = home / "log"
    with log.open("w") as output:
        server = subprocess.Popen(file.command, cwd=home, env=dict(environment), stdout=output, stderr=output)
    began = time.monotonic()
    try:
        while time.monotonic() - began < SECONDS and server.poll() is None:
            asked = subprocess.run(file.health, env=dict(environment), capture_output=True, text=True, check=False)
            if asked.returncode == 0:
                seconds = time.monotonic() - began
                late = "" if seconds < file.start_period else f"FAULT: the start period is {file.start_period} s; "
                return f"{late}healthy after {seconds:.0f} s, and answers {answer(file)}"
            time.sleep(0.5)
        return f"FAULT: not healthy: {asked.stderr[-200:]}; {log.read_text()[-800:]}"
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()


def answer(file: Dockerfile) -> int:
    """The status of a lookup, or of a prediction."""
    path, question = ASKED[file.role]
    (port,) = file.all("EXPOSE")
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", json.dumps(question).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as found:
        status: int = found.status
        return status


if __name__ == "__main__":
    sys.exit(main())
