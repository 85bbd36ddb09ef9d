"""Files that hand Spark its settings over: what Java reads is what was given, and nobody else can read them."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from transformations.engine.launch.handover import handed_over


def test_settings_stand_in_a_private_file_for_as_long_as_java_starts(tmp_path: Path) -> None:
    with handed_over({"spark.a": " b=#!:\\\nü😀"}, tmp_path) as environment:
        (file,) = tmp_path.iterdir()
        assert environment == {
            "PYSPARK_SUBMIT_ARGS": f"--load-spark-defaults --properties-file {file} pyspark-shell",
        }
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert file.read_text() == (r"spark.a=\u0020b\u003d\u0023\u0021\u003a\u005c\u000a\u00fc\ud83d\ude00" + "\n")
    assert not list(tmp_path.iterdir())


def test_java_s_own_options_stand_in_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JDK_JAVA_OPTIONS", "-Xmx1g")
    with handed_over({"spark.driver.extraJavaOptions": "-Da='x y' -Db=1"}, tmp_path) as environment:
        (file,) = tmp_path.glob("*.options")
        assert environment["JDK_JAVA_OPTIONS"] == f'-Xmx1g "@{file}"'
        assert file.read_text() == '"-Da=x y"\n"-Db=1"'
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_what_a_killed_process_left_is_removed_after_an_hour(tmp_path: Path) -> None:
    old, fresh = tmp_path / "settings-old.properties", tmp_path / "settings-new.properties"
    for file in (old, fresh):
        file.touch()
    os.utime(old, (0, 0))
    with handed_over({}, tmp_path):
        assert not old.exists()
        assert fresh.exists()


def test_what_another_process_removes_at_the_same_time_stops_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "settings-gone.properties"  # which the folder still listed
    monkeypatch.setattr(Path, "glob", lambda *_: iter([gone]))
    with handed_over({}, tmp_path) as environment:
        assert "PYSPARK_SUBMIT_ARGS" in environment


HOLDER = """
import os, sys
from pathlib import Path
from transformations.engine.launch.handover import handed_over

folder = Path(sys.argv[1])
with handed_over({"spark.driver.extraJavaOptions": "-Da=1"}, folder):
    pass
(file,) = folder.iterdir()
os.utime(file, (0, 0))
print(file, flush=True)
sys.stdin.read()
"""


def test_options_of_java_stay_for_as_long_as_their_process_lives(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        file = Path(process.stdout.readline().strip())
        with handed_over({}, tmp_path):
            assert file.exists()
        process.kill()
    with handed_over({}, tmp_path):
        assert not file.exists()
