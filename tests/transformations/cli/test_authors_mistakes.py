"""A mistake in an author's own file is told by file, line and the nearest word, and is no fault of the platform."""

import errno
import sys

import pytest

from tests.worlds.clicking import World
from transformations.cli.main import run
from transformations.engine.base.authored import place_of, tell_author, tell_authors_in_feast

IMPORTS = "from transformations import LIFETIME, Count"
COUNT = 'Count(name="clicks", description="Clicks", unit="clicks", expect=at_least(0), unseen=0)'
CALL = 'feature_view(clicking.user_clicks, entity=user, owner="web@x.org")'


def told(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    """What a command says of a mistake; exit code 2, and nothing of the platform's fault."""
    assert run(command or ("status",)) == 2
    said = capsys.readouterr().err
    assert "fault of the platform" not in said
    assert "Traceback" not in said
    return said


@pytest.fixture(autouse=True)
def _no_debugging(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FEATURES_DEBUG", raising=False)


@pytest.mark.parametrize(
    ("right", "wrong", "line", "said"),
    [
        (COUNT, COUNT + ")", "Count(name", "SyntaxError: closing parenthesis ')' does not match"),
        (COUNT, "Cuont()", "Cuont(),", "NameError: name 'Cuont' is not defined. Did you mean 'Count'?"),
        (
            IMPORTS,
            IMPORTS + "s, Count",
            IMPORTS + "s",
            "ImportError: cannot import name 'Counts' from 'transformations'",
        ),
        (IMPORTS, IMPORTS + "s, Count", IMPORTS + "s", "Did you mean 'Count'?"),
        (IMPORTS, "import pyarow\n" + IMPORTS, "import pyarow", "ModuleNotFoundError: No module named 'pyarow'"),
        (COUNT, COUNT.replace("unit=", "units="), "Count(name", "Did you mean 'unit'?"),
        (COUNT, COUNT.replace("at_least(0)", "at_least()"), "at_least()", "TypeError: at_least() missing 1 required"),
        (COUNT, COUNT.replace("at_least(0)", "1 / 0"), "1 / 0", "ZeroDivisionError: division by zero"),
    ],
)
def test_a_mistake_in_a_domain_file_names_file_line_and_the_nearest_word(
    world: World, capsys: pytest.CaptureFixture[str], right: str, wrong: str, line: str, said: str
) -> None:
    world.rewrite((right, wrong))
    lines = (world.folder / "domains" / "clicking.py").read_text().splitlines()
    number = next(number for number, text in enumerate(lines, start=1) if line in text)

    message = told(capsys)

    assert f"clicking.py, line {number}: {lines[number - 1].strip()}\n" in message
    assert said in message


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        (CALL, CALL.replace("clicking.user_clicks", "clicking.user_click"), "Did you mean 'user_clicks'?"),
        (CALL, CALL.replace("owner=", "ownr="), "unexpected keyword argument 'ownr'. Did you mean 'owner'?"),
        ("from transformations import clicking", "from transformations import clickings", "Did you mean 'clicking'?"),
        ("feature_view\n", "feature_views\n", "Did you mean 'feature_view'?"),
    ],
)
def test_a_mistake_in_the_repository_is_told_by_every_command_that_reads_it(
    world: World, capsys: pytest.CaptureFixture[str], right: str, wrong: str, said: str
) -> None:
    world.rewrite((right, wrong))
    for command in ("status", "build", "diff"):
        message = told(capsys, command)
        assert "user_views.py, line " in message
        assert said in message


def test_what_a_definition_gets_wrong_is_told_with_its_line(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    chained = COUNT[:-1] + ', where=5 < column("seconds") < 60)'
    world.rewrite((COUNT, chained), (IMPORTS, IMPORTS + ", column"))

    assert f"clicking.py, line 14: {chained}," in told(capsys)


def test_an_error_inside_the_platform_that_an_authors_line_led_to_says_both(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.rewrite(("windows=[days(7)],\n    available_after=hours(2)", "windows=7,\n    available_after=hours(2)"))

    message = told(capsys)

    assert "clicking.py, line 6: user_clicks = WindowedFeatures(" in message
    assert "If that line is right, FEATURES_DEBUG=1" in message


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "lacks project, registry, offline_store, online_store. Bring it back from a copy"),
        (b"project: p\nregistry: {", "is no YAML: "),
        (b"project: p\nregistry: data/registry.db\n", "lacks offline_store, online_store"),
        (b"\xff\x00", "is no YAML: "),
        (None, "is missing. Bring it back from a copy"),
    ],
)
def test_a_damaged_feature_store_yaml_is_named(world: World, content: bytes | None, said: str) -> None:
    """Of a file that was cut short Feast would take the rest, and stores of its own."""
    file = world.repository / "feature_store.yaml"
    file.unlink() if content is None else file.write_bytes(content)

    result = world.run("diff")

    assert result.exit_code == 2
    assert result.stderr.startswith(f"Error: {file} {said}")


def test_feasts_own_commands_tell_the_author_too(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    from transformations.stores.base.views import contents

    world.rewrite((COUNT, "Cuont()"))
    with pytest.raises(NameError) as raised:
        contents(world.repository)
    tell_author(NameError, raised.value, raised.value.__traceback__)

    said = capsys.readouterr().err
    assert said.startswith("Error: ")
    assert "clicking.py, line 14: Cuont(),\nNameError" in said
    assert "Did you mean 'Count'?" in said


def test_a_fault_of_the_platform_stays_one_for_feast_too(capsys: pytest.CaptureFixture[str]) -> None:
    error = KeyError("missing")
    assert place_of(error) is None
    tell_author(KeyError, error, None)
    assert capsys.readouterr().err == "KeyError: 'missing'\n"
    assert sys.excepthook is sys.__excepthook__  # only `feast` itself sets ours


def test_a_file_beside_feature_store_yaml_is_told_with_its_folder(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(world.repository)
    world.rewrite((CALL, CALL.replace("owner=", "ownr=")))
    assert "Error: feature_repo/user_views.py, line " in told(capsys)


@pytest.mark.parametrize(("script", "tells"), [("feast", True), ("cli/quick_feast.py", True), ("train.py", False)])
def test_only_a_feast_command_that_reads_our_yaml_tells_the_author(
    monkeypatch: pytest.MonkeyPatch, script: str, tells: bool
) -> None:
    monkeypatch.setattr(sys, "argv", [script, "apply"])
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    tell_authors_in_feast()
    assert (sys.excepthook is tell_author) == tells


def test_a_full_disk_under_a_feast_command_is_its_path_and_the_code_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("FEATURES_DEBUG", raising=False)
    error = OSError(errno.ENOSPC, "No space left on device", "/data/registry.db")
    with pytest.raises(SystemExit) as ended:  # which Python takes for the process's own end
        tell_author(OSError, error, None)

    assert ended.value.code == 4
    assert capsys.readouterr().err.startswith("Error: /data/registry.db: the disk is full.")
