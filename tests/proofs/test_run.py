"""The runner of the slow proofs, with proofs that are played; and that no slow proof is missing from its list."""

import re
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.proofs.proofs import MOST_SECONDS, PROOFS, Proof
from tests.proofs.run import BEGIN, END, PAGE, ROOT, Found, judged, row, run, written

PROOF = Proof(name="sure-proof", claim="it is sure", seconds=20, figure=r"found (\d+)")
HELD = Found(proof=PROOF, state="held", figure="7")


def played(proof: Proof, program: str, folder: Path, most: float = 20.0) -> Found:
    return run(proof, [sys.executable, "-c", program], {"PATH": ""}, folder / "log", most)


@pytest.mark.parametrize(
    ("program", "state", "figure"),
    [
        ("print('found 1'); print('found 7')", "held", "1; 7"),
        ("print('found 7'); raise SystemExit(3)", "failed", "ended with code 3"),
        ("print('nothing')", "failed", "printed no figure"),
        ("print('found 7'); print('SKIPPED [1] a.py:3: no promtool')", "not run", "skipped: a.py:3: no promtool"),
    ],
)
def test_a_proof_holds_where_it_ends_well_skips_nothing_and_prints_its_figure(
    tmp_path: Path, program: str, state: str, figure: str
) -> None:
    found = played(PROOF, program, tmp_path)
    assert (found.state, found.figure.startswith(figure)) == (state, True), found


def test_a_proof_that_takes_too_long_is_stopped_with_all_that_it_started(tmp_path: Path) -> None:
    program = f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
open({str(tmp_path / "pid")!r}, "w").write(str(child.pid))
time.sleep(60)
"""
    found = played(PROOF, program, tmp_path, most=1)
    assert (found.state, found.figure) == ("failed", "was not done after 1 s")
    child = Path("/proc") / (tmp_path / "pid").read_text() / "status"
    until = time.monotonic() + 10  # the system ends what was killed when it next gets to it
    while is_alive(child) and time.monotonic() < until:
        time.sleep(0.01)
    assert not is_alive(child)


def is_alive(status: Path) -> bool:
    try:
        return "State:\tZ" not in status.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_proof_is_stopped_as_by_ctrl_c_so_that_it_can_end_what_it_started(tmp_path: Path) -> None:
    program = f"""
import time
try:
    time.sleep(60)
except KeyboardInterrupt:
    open({str(tmp_path / "ended")!r}, "w").write("servers are stopped")
"""
    assert played(PROOF, program, tmp_path, most=1).state == "failed"
    assert (tmp_path / "ended").read_text() == "servers are stopped"


def test_a_proof_for_which_no_time_is_left_is_not_run(tmp_path: Path) -> None:
    found = played(PROOF, "print('found 7')", tmp_path, most=-1.0)
    assert (found.state, found.figure) == ("not run", "the 25 minutes of all proofs are over")


def test_a_proof_without_its_tool_is_not_run(tmp_path: Path) -> None:
    found = played(replace(PROOF, tools=("no-such-tool",)), "print('found 7')", tmp_path)
    assert (found.state, found.figure) == ("not run", "no-such-tool is not installed")


def test_what_a_proof_alone_needs_is_installed_first_and_not_in_its_seconds(tmp_path: Path) -> None:
    """By a `make` that is played: it takes a second for one place, and cannot install the other."""
    make = tmp_path / "make"
    make.write_text(f"#!{sys.executable}\nimport sys, time\ntime.sleep(1)\nsys.exit(sys.argv[1] != 'mine')\n")
    make.chmod(0o755)
    command, began = [sys.executable, "-c", "print('found 7')"], time.monotonic()
    founds = [
        run(replace(PROOF, installs=(place,)), command, {"PATH": str(tmp_path)}, tmp_path / "log", 20.0)
        for place in ("mine", "yours")
    ]
    assert [(each.state, each.figure.partition(";")[0]) for each in founds] == [
        ("held", "7"),
        ("not run", "yours could not be installed"),
    ]
    assert founds[0].seconds < time.monotonic() - began - 1


def test_a_tool_is_a_program_of_the_machine_and_what_is_installed_a_target() -> None:
    """Nothing counts as missing that its own target would have brought."""
    makefile = (ROOT / "Makefile").read_text()
    assert [tool for proof in PROOFS for tool in proof.tools if "/" in tool] == []
    for proof in PROOFS:
        for place in proof.installs:
            assert re.search(rf"^{proof.name}: {re.escape(place)}  ## ", makefile, re.MULTILINE), place
            assert re.search(rf"^{re.escape(place)}: BESIDE := ", makefile, re.MULTILINE), place
    beside = set(re.findall(r"^(\S+): BESIDE := ", makefile, re.MULTILINE))
    assert beside == {place for proof in PROOFS for place in proof.installs}


def test_what_was_not_run_fails_the_run_unless_it_is_allowed_and_what_failed_always_does() -> None:
    missing = replace(HELD, state="not run")
    failed = replace(HELD, state="failed")
    assert [judged([HELD], []), judged([HELD, missing], []), judged([missing], ["sure-proof"])] == [0, 1, 0]
    assert [judged([missing], ["another-proof"]), judged([failed], ["sure-proof"])] == [1, 1]


def test_the_table_keeps_what_was_not_run_now_and_drops_what_is_gone() -> None:
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    old = row(replace(HELD, figure="5"), moment, "abc")
    gone = row(replace(HELD, proof=replace(PROOF, name="gone-proof")), moment, "abc")
    page = written(f"text\n{BEGIN}\n{old}\n{gone}\n{END}\nmore\n", {}, ["sure-proof", "new-proof"])
    assert "gone-proof" not in page
    new = row(replace(HELD, proof=replace(PROOF, name="new-proof", size={"ARGS": "--few 3"})), moment, "def+")
    page = written(page, {"new-proof": new}, ["sure-proof", "new-proof"])
    assert "| `make sure-proof` | it is sure | 5 | whole | 0 | 2026-01-02 | abc |\n" in page
    assert "| `make new-proof` | it is sure | 7 | `ARGS=--few 3` | 0 | 2026-01-02 | def+ |\n" in page
    assert page.startswith("text\n")
    assert page.endswith("more\n")


def test_all_fit_in_their_time() -> None:
    assert sum(proof.seconds for proof in PROOFS) <= MOST_SECONDS


def test_every_slow_proof_of_the_makefile_is_in_the_list() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^([a-z0-9-]+-(?:proof|traps)|[a-z0-9]+-test):", makefile, re.MULTILINE)
    assert sorted(targets) == sorted(proof.name for proof in PROOFS)


def test_the_page_has_a_table_to_write_into() -> None:
    assert PAGE.read_text().count(BEGIN) == PAGE.read_text().count(END) == 1
