"""Install exactly what each Dockerfile installs into a new environment, start its command, and ask for its health.

A server answers its health check: 200, or 503 since no Redis and no model is there. The batch command shows its plan.
`make deploy-proof` calls it. No docker is needed.

    python tests/deploy/run.py                  every role
    python tests/deploy/run.py serve            one
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.deploy.dockerfiles import ROOT, Dockerfile, read

SECONDS = 60


def main() -> int:
    """Print what each role needs and how it started; 1 where one did not."""
    files = {file.role: file for file in read()}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("roles", nargs="*", choices=[[], *files], metavar="ROLE")
    roles = parser.parse_args().roles or list(files)
    faults = 0
    for role in roles:
        with tempfile.TemporaryDirectory(prefix=f"features-{role}-") as folder:
            said = tried(files[role], Path(folder))
        faults += "FAULT" in said
        print(f"{role}: {said}", flush=True)
    return int(bool(faults))


def tried(file: Dockerfile, folder: Path) -> str:
    """One role, in a folder as its image has them."""
    venv, home = folder / "venv", folder / "srv"
    build = folder / "build"
    for path in file.copied:
        target = (home if path == "feature_repo" else build) / path
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (ROOT / path).is_dir() else shutil.copy)(ROOT / path, target)
    began = time.monotonic()
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    pip = [venv / "bin" / "pip", "install", "-q", "--disable-pip-version-check", *file.installed]
    ended = subprocess.run(pip, cwd=build, capture_output=True, text=True, check=False)
    if ended.returncode:
        return f"FAULT: pip: {ended.stderr[-1_000:]}"
    installed = time.monotonic() - began
    size = sum(each.stat().st_size for each in venv.rglob("*") if each.is_file() and not each.is_symlink())
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith(("FEATURES_", "PYTHON"))},
        **{key: value for key, value in file.variables.items() if key not in ("PATH", "FEATURES_DATA")},
        "PATH": f"{venv / 'bin'}:{os.environ['PATH']}",
        "FEATURES_DATA": str(folder / "data"),
        "FEATURES_REDIS_URL": "redis://127.0.0.1:1/0",
        "FEATURES_PREDICT_MODELS": "user_churn",
    }
    said = f"{size / 1e6:,.0f} MB installed in {installed:.0f} s; "
    if file.role == "batch":
        return said + planned([*file.command, "--day", "2020-01-01", "--dry-run"], environment, home)
    return said + answered(file, environment, home)


def planned(command: list[str], environment: Mapping[str, str], home: Path) -> str:
    ended = subprocess.run(command, cwd=home, env=dict(environment), capture_output=True, text=True, check=False)
    tasks = [line for line in ended.stdout.splitlines() if line.startswith(("ingestion ", "features "))]
    if ended.returncode or not tasks:
        return f"FAULT: code {ended.returncode}: {ended.stderr[-500:]}"
    return f"`{' '.join(command)}` shows {len(tasks)} tasks"


def answered(file: Dockerfile, environment: Mapping[str, str], home: Path) -> str:
    """The server answers the health check's address; without Redis and models it may answer that it is not ready."""
    log = home / "log"
    with log.open("w") as output:
        server = subprocess.Popen(file.command, cwd=home, env=dict(environment), stdout=output, stderr=output)
    began = time.monotonic()
    try:
        while time.monotonic() - began < SECONDS and server.poll() is None:
            asked = subprocess.run(file.health, env=dict(environment), capture_output=True, text=True, check=False)
            if asked.returncode == 0 or "HTTP Error 503" in asked.stderr:
                answer = 503 if asked.returncode else 200
                return f"health answers {answer} after {time.monotonic() - began:.0f} s"
            time.sleep(0.5)
        return f"FAULT: no answer; {log.read_text()[-800:]}"
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()


if __name__ == "__main__":
    sys.exit(main())
