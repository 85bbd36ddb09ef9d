"""The command line: quick help, one exit code a kind of error, no stack trace for a user's mistake."""

import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import click
import pytest

from transformations.cli import main
from transformations.cli.options import json_option
from transformations.cli.output import print_json
from transformations.engine.base.errors import (
    DataError,
    DefinitionError,
    ExitCode,
    FeaturesError,
    ServiceUnavailableError,
    UsageError,
)

FEATURES = Path(sys.executable).with_name("features")
BROUGHT_BY_EXTRAS = (
    *("dagster", "deltalake", "duckdb", "great_expectations", "ibis", "lightgbm", "mlflow", "obstore", "openlineage"),
    *("open_data_contract_standard", "optuna", "pyspark", "scipy", "sklearn", "xgboost"),
)


def raising(error: BaseException) -> click.Group:
    @click.command()
    def fail() -> None:
        raise error

    return click.Group("features", commands={"fail": fail})


def features(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [FEATURES, *arguments], env=os.environ | environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (FeaturesError("it broke"), 1),
        (UsageError("it broke"), 2),
        (DefinitionError("it broke"), 2),
        (DataError("it broke"), 3),
        (ServiceUnavailableError("it broke"), 4),
    ],
)
def test_our_errors_end_with_their_code_and_one_message(
    error: FeaturesError, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("FEATURES_DEBUG", raising=False)
    monkeypatch.setattr(main, "cli", raising(error))

    assert main.run(["fail"]) == code
    assert capsys.readouterr() == ("", "Error: it broke\n")


def test_any_error_that_carries_an_exit_code_counts_as_ours(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class ContractError(ValueError):
        exit_code = 3

    monkeypatch.setattr(main, "cli", raising(ContractError("sales.yaml: no such column")))

    assert main.run(["fail"]) == 3
    assert capsys.readouterr().err == "Error: sales.yaml: no such column\n"


def test_an_unexpected_error_is_one_line_and_the_way_to_its_trace(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("FEATURES_DEBUG", raising=False)
    monkeypatch.setattr(main, "cli", raising(KeyError("missing")))

    assert main.run(["fail"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("Unexpected error: KeyError: 'missing'\n")
    assert "FEATURES_DEBUG=1" in said
    assert "Traceback" not in said


def test_debugging_shows_the_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEATURES_DEBUG", "1")
    monkeypatch.setattr(main, "cli", raising(DataError("it broke")))

    with pytest.raises(DataError):
        main.run(["fail"])


def test_debugging_can_be_switched_off_by_its_variable_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEATURES_DEBUG", "0")
    monkeypatch.setattr(main, "cli", raising(DataError("it broke")))

    assert main.run(["fail"]) == 3


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["contract", "show", "nowhere", "--json"], 2, "no contract for a source 'nowhere'"),
        (["contract", "show", "--json"], 2, "Missing argument 'SOURCE'."),
        (["status", "--jsn", "--json"], 2, "No such option '--jsn'."),
        (["confg", "--json"], 2, "did you mean 'config'?"),
    ],
)
def test_under_json_an_error_is_a_document_on_stdout_too(
    arguments: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(arguments) == code
    printed = capsys.readouterr()
    document = json.loads(printed.out)
    assert sorted(document) == ["error", "exit_code"]
    assert document["exit_code"] == code
    assert said in document["error"]
    assert said in " ".join(printed.err.split())


def test_a_command_that_has_printed_its_document_prints_no_other_for_its_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @click.command()
    @json_option
    def judge(as_json: bool) -> None:
        print_json({"verdict": "refused"})
        raise DataError("it broke")

    monkeypatch.setattr(main, "cli", click.Group("features", commands={"judge": judge}))
    assert main.run(["judge", "--json"]) == 3
    assert json.loads(capsys.readouterr().out) == {"verdict": "refused"}


def test_an_error_writes_out_what_nobody_sees(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(main, "cli", raising(DataError("a\u202eb\x1b[2Jc")))
    assert main.run(["fail"]) == 3
    assert capsys.readouterr().err == "Error: a\\u202eb\\u001b[2Jc\n"


def test_an_interrupt_ends_with_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(main, "cli", raising(KeyboardInterrupt()))

    assert main.run(["fail"]) == 130
    assert capsys.readouterr().err.strip() == "Interrupted."


def test_a_command_may_choose_its_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main, "cli", raising(click.exceptions.Exit(3)))

    assert main.run(["fail"]) == 3


def test_an_unknown_command_is_a_usage_error_with_the_nearest_name() -> None:
    done = features("confg")

    assert done.returncode == 2
    assert "No such command 'confg': did you mean 'config'?" in done.stderr
    assert done.stdout == ""


def test_an_unknown_option_is_a_usage_error() -> None:
    assert features("config", "--nonsense").returncode == 2


def test_a_bad_setting_is_a_usage_error_without_a_trace() -> None:
    done = features("config", FEATURES_CLOCK="yesterday", FEATURES_DEBUG="")

    assert done.returncode == 2
    assert done.stderr.startswith("Error: FEATURES_CLOCK=yesterday:")
    assert "Traceback" not in done.stderr


def test_the_help_lists_every_command_that_is_there_and_loads_none() -> None:
    program = (
        "import sys\n"
        "from transformations.cli.main import run\n"
        "run(['--help'])\n"
        "heavy = {'pyspark', 'duckdb', 'deltalake', 'great_expectations', 'feast', 'pandas', 'pydantic', 'rich'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stderr.strip() == "[]"
    for name, entry in main.COMMANDS.items():
        module = main.module_of(name).removeprefix("transformations.cli.").replace(".", "/")
        is_there = (Path(main.__file__).parent / f"{module}.py").is_file()
        assert (f"{name} " in done.stdout and entry.help.split()[0] in done.stdout) == is_there, name


def test_the_help_comes_in_half_a_second() -> None:
    def seconds() -> float:
        began = time.perf_counter()
        assert features("--help").returncode == 0
        return time.perf_counter() - began

    assert min(seconds() for _ in range(5)) < 0.5


def test_every_command_that_is_there_has_a_help_with_a_first_line() -> None:
    context = click.Context(main.cli)
    for name in main.cli.list_commands(context):
        command = main.cli.get_command(context, name)
        assert command is not None
        assert command.name == name
        assert command.get_short_help_str(), name


def test_without_a_command_the_help_is_shown() -> None:
    done = features()

    assert "Exit codes:" in done.stdout + done.stderr


def test_the_version_is_told() -> None:
    assert features("--version").stdout.startswith("features, version ")


def test_bash_completes_commands_and_subcommands() -> None:
    first = features(_FEATURES_COMPLETE="bash_complete", COMP_WORDS="features con", COMP_CWORD="1")
    second = features(_FEATURES_COMPLETE="bash_complete", COMP_WORDS="features redis st", COMP_CWORD="2")

    assert "plain,config" in first.stdout.splitlines()
    assert second.stdout.splitlines() == ["plain,start", "plain,status", "plain,stop"]


def test_the_help_and_the_page_for_those_on_call_list_every_exit_code_with_its_meaning() -> None:
    page = (Path(__file__).parents[3] / "docs" / "operations.md").read_text()

    for code in ExitCode:
        assert f"  {code:d}  {code.meaning}" in main.EPILOG
        assert f"| {code:d} | {code.meaning} |" in page


@pytest.mark.parametrize(("umask", "file", "folder"), [(0o022, 0o640, 0o750), (0o077, 0o600, 0o700)])
def test_what_a_command_writes_is_closed_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, umask: int, file: int, folder: int
) -> None:
    def write(_arguments: Sequence[str]) -> int:
        (tmp_path / "folder").mkdir()
        (tmp_path / "file").touch()
        return 0

    monkeypatch.setattr("transformations.cli.main.run", write)
    before = os.umask(umask)
    try:
        with pytest.raises(SystemExit):
            main.main()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == file
    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) == folder


def test_a_folder_that_is_gone_under_the_command_is_no_fault_of_the_platform(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()

    assert main.run(["status"]) == 4
    assert capsys.readouterr().err == (
        "Error: the folder that this command was called in is gone. Change into another one (cd).\n"
    )


def test_a_base_install_loads_every_command_and_the_stores() -> None:
    """What extras bring is hidden: commands import it when they are used, and what the YAML names does not even try."""
    program = f"""
import sys

tried = []

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {set(BROUGHT_BY_EXTRAS)}:
            tried.append(name)
            raise ModuleNotFoundError(name, name=name)

sys.meta_path.insert(0, Hidden())
import importlib, pkgutil
from transformations.engine.launch.quickening import quicken_feast
quicken_feast()
import transformations.stores.offline, transformations.stores.online
print(tried)
import transformations.cli.commands as commands
names = [each.name for each in pkgutil.walk_packages(commands.__path__, commands.__name__ + ".")]
for name in names:
    importlib.import_module(name)
print(len(names))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    tried, commands = done.stdout.splitlines()
    assert (tried, int(commands) > 30) == ("[]", True)


@pytest.mark.parametrize(
    ("module", "extras"),
    [("dagster", "orchestration"), ("deltalake", "batch,train,validate"), ("open_data_contract_standard", "validate")],
)
def test_a_missing_package_is_named_with_the_extras_that_bring_it(
    module: str, extras: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("FEATURES_DEBUG", raising=False)
    monkeypatch.setattr(main, "cli", raising(ModuleNotFoundError(f"No module named {module!r}", name=f"{module}.part")))

    assert main.run(["fail"]) == 2
    assert capsys.readouterr().err == (
        f"Error: {module} is not installed here. Install it: pip install 'feature-platform[{extras}]'.\n"
    )
