"""Run the slow proofs one after the other, and write what each found into docs/proofs.md. `make proofs` calls it.

    python tests/proofs/run.py                        all of them, at sizes that end within 25 minutes
    python tests/proofs/run.py knowledge-proof        these alone
    ALLOW_MISSING="cluster-test" make proofs          although this one cannot be run here

Each may take twice its share and what the ones before it left, but all together no longer than their 25 minutes; what
must be installed for one alone is no part of them. A proof that lacks a tool, or of which a test was skipped, counts as
not run. The run ends with 1 where a proof fails or is not run, unless ALLOW_MISSING names it.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.proofs.proofs import MOST_SECONDS, PROOFS, Proof

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "proofs.md"
BEGIN, END = "<!-- proofs: written by `make proofs` -->", "<!-- end of proofs -->"
HEADER = "| Proof | Claim | Found | Size | Seconds | Date | Revision |\n|---|---|---|---|---|---|---|"
_SHOWN = 4
_ENDS_WITHIN = 15.0
_INSTALL_SECONDS = 600.0
_SKIPPED = re.compile(r"^SKIPPED \[\d+\] (.*)$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a proof found. state: `held`, `failed` or `not run`."""

    proof: Proof
    state: str
    figure: str
    seconds: float = 0.0

    @property
    def held(self) -> bool:
        return self.state == "held"


def run(proof: Proof, command: Sequence[str], environment: Mapping[str, str], log: Path, most: float) -> Found:
    """Run one proof, its output kept in a file. most: seconds after which it is stopped."""
    for tool in proof.tools:
        if shutil.which(tool) is None:
            return Found(proof=proof, state="not run", figure=f"{tool} is not installed")
    data = data_folder(environment)
    for folder in proof.made:
        if not (data / folder).is_dir():
            return Found(proof=proof, state="not run", figure=f"there are no {folder} in {data.name}/ to look at")
    if most <= 0:
        return Found(proof=proof, state="not run", figure=f"the {MOST_SECONDS // 60} minutes of all proofs are over")
    for place in proof.installs:
        code, _ = _ended(["make", place], environment, log, _INSTALL_SECONDS)
        if code != 0:
            return Found(proof=proof, state="not run", figure=f"{place} could not be installed; see {log}")
    began = time.monotonic()
    code, text = _ended(command, environment, log, most)
    seconds = time.monotonic() - began
    if code is None:
        return Found(proof=proof, state="failed", figure=f"was not done after {most:.0f} s", seconds=seconds)
    if code:
        return Found(proof=proof, state="failed", figure=f"ended with code {code}; see {log}", seconds=seconds)
    if skipped := _SKIPPED.findall(text):
        return Found(proof=proof, state="not run", figure=f"skipped: {skipped[0]}", seconds=seconds)
    figures = list(dict.fromkeys(each.strip() for each in re.findall(proof.figure, text)))
    if not figures:
        return Found(proof=proof, state="failed", figure="printed no figure that could be shown", seconds=seconds)
    return Found(proof=proof, state="held", figure="; ".join(figures[-_SHOWN:]), seconds=seconds)


def judged(found: Sequence[Found], allowed: Sequence[str]) -> int:
    """The exit code: 1 where a proof failed, or was not run and nobody allowed that."""
    return int(any(not each.held and not (each.state == "not run" and each.proof.name in allowed) for each in found))


def row(found: Found, moment: datetime, revision: str) -> str:
    """A proof as a row of the table."""
    result = found.figure if found.held else f"**{found.state}**: {found.figure}"
    size = " ".join(f"{key}={value}" for key, value in found.proof.size.items()).replace("|", "\\|")
    cells = (
        f"`make {found.proof.name}`",
        found.proof.claim,
        result.replace("|", "\\|"),
        f"`{size}`" if size else "whole",
        f"{found.seconds:.0f}",
        f"{moment:%Y-%m-%d}",
        revision,
    )
    return f"| {' | '.join(cells)} |"


def written(page: str, rows: Mapping[str, str], order: Sequence[str]) -> str:
    """The page with these rows in place of the former ones of their proofs; rows of proofs that are gone go."""
    start, rest = page.split(BEGIN)
    table, end = rest.split(END)
    before = {match[1]: match[0] for match in re.finditer(r"^\| `make ([a-z0-9-]+)` .*$", table, re.MULTILINE)}
    lines = [rows.get(name) or before[name] for name in order if name in rows or name in before]
    return f"{start}{BEGIN}\n\n" + "\n".join([HEADER, *lines]) + f"\n\n{END}{end}"


def revision_of(folder: Path) -> str:
    """The short hash of the revision, with + where files differ from it, the page apart."""
    git = ["git", "-C", str(folder)]
    name = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    changed = subprocess.run(
        [*git, "status", "--porcelain", "--", ".", ":!docs/proofs.md"], capture_output=True, text=True, check=False
    )
    return f"{name.stdout.strip()}{'+' if changed.stdout.strip() else ''}" if name.returncode == 0 else "no git"


def data_folder(environment: Mapping[str, str]) -> Path:
    """Where the proofs look at what was made, and keep what they print."""
    return Path(environment.get("FEATURES_DATA") or ROOT / "data")


def _ended(command: Sequence[str], environment: Mapping[str, str], log: Path, seconds: float) -> tuple[int | None, str]:
    """The exit code, None where it was stopped, and the output. It is stopped with all that it started.

    First as by Ctrl-C: pytest then ends the servers of its fixtures, which a group's signal does not reach.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with (
        log.open("w") as file,
        subprocess.Popen(
            command, cwd=ROOT, env=dict(environment), stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        ) as process,
    ):
        try:
            code: int | None = process.wait(seconds)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)
                try:
                    process.wait(_ENDS_WITHIN)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
    return code, log.read_text(errors="replace")


def main() -> int:
    """Run what is asked for, print the table and write it; the exit code."""
    names = [proof.name for proof in PROOFS]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="of the proofs to run; all without any")
    wanted = parser.parse_args().names or names
    if unknown := sorted(set(wanted) - set(names)):
        parser.error(f"there is no proof {unknown[0]!r}. Known: {', '.join(names)}.")
    moment, revision, found, left = datetime.now(UTC), revision_of(ROOT), list[Found](), 0.0
    end = time.monotonic() + MOST_SECONDS
    for proof in PROOFS:
        if proof.name in wanted:
            most = min(2 * proof.seconds + left, end - time.monotonic())
            print(f"{proof.name}, at most {max(0, most):.0f} s: {proof.claim}", flush=True)
            environment = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS"))}
            command = ["make", proof.name, *(f"{key}={value}" for key, value in proof.size.items())]
            log = data_folder(environment) / "proofs" / f"{proof.name}.log"
            began = time.monotonic()
            each = run(proof, command, environment, log, most)
            end += time.monotonic() - began - each.seconds  # what was installed first is no part of the 25 minutes
            left = max(0.0, left + proof.seconds - each.seconds)
            print(f"  {each.state}, {each.seconds:.0f} s: {each.figure}", flush=True)
            found.append(each)
    rows = {each.proof.name: row(each, moment, revision) for each in found}
    PAGE.write_text(written(PAGE.read_text(), rows, names))
    print("\n".join([HEADER, *rows.values()]))
    print(f"{sum(each.held for each in found)} of {len(found)} held, {sum(each.seconds for each in found):.0f} s")
    return judged(found, os.environ.get("ALLOW_MISSING", "").replace(",", " ").split())


if __name__ == "__main__":
    assert sum(proof.seconds for proof in PROOFS) <= MOST_SECONDS
    sys.exit(main())
