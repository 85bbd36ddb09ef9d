"""The app in a process of its own: what it loads, and what it makes of a request."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.transformations.models.serving.conftest import PATH
from tests.worlds import weekly
from transformations.engine.base.errors import UsageError
from transformations.models.serving.api.app import create_app

SCRIPT = f"""
import asyncio, json, sys
import httpx
import pandas
from transformations.models.serving.api.app import create_app

def refuse(self, *arguments, **named):
    raise AssertionError("a pandas frame was made for a request")

async def main():
    app = create_app(["{weekly.MODEL}"])
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
            while (await client.get("/health")).status_code != 200:
                await asyncio.sleep(0.05)
            pandas.DataFrame.__init__ = pandas.Series.__init__ = refuse
            answer = await client.post("{PATH}", json={{"rows": [{{"user_id": 7}}]}})
            heavy = {{"mlflow", "pyspark", "duckdb", "great_expectations", "optuna"}}
            found = sorted({{name.partition(".")[0] for name in sys.modules}} & heavy)
            print(json.dumps([answer.status_code, found]))

asyncio.run(main())
"""


def test_the_server_loads_no_mlflow_and_makes_no_frame_of_a_request(project: Path) -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, env=os.environ, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [200, []]


@pytest.mark.parametrize(
    ("text", "said"),
    [("project: shop\n", "lacks registry"), ("project: *hunter2\n", "is no YAML: found undefined alias")],
)
def test_a_feature_store_yaml_that_feast_cannot_use_is_refused_in_our_words(
    tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "feature_store.yaml").write_text(text)
    with pytest.raises(UsageError, match=said) as refused:
        create_app([weekly.MODEL], tmp_path)
    assert "hunter2" not in refused.value.message
