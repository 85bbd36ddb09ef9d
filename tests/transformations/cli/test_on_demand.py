"""On-demand features in the commands: what is known of one, and that a change in anything it calls is shown."""

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest

import transformations
from tests.worlds.clicking import DOMAIN, VIEWS, forget_domain
from transformations.engine.base.errors import DefinitionError

FUNCTIONS = '''
import pyarrow.compute as pc

from transformations import Float64, between, on_demand, pacing


def halved(values, by=2.0):
    return pc.divide(values, by)


@on_demand(unit="ratio", expect=between(0, 10))
def haste(pace: Float64, attention_seconds_sum_7d: Float64) -> Float64:
    """The pace of this visit against the attention of 7 days."""
    return pc.multiply(halved(pc.divide(pace, attention_seconds_sum_7d)), pacing.FACTOR)
'''
PACING = '"""How pace is measured."""\n\nFACTOR = 3.0\n'
OFFER = """
from feast import Field, RequestSource
from feast.types import Float64
from transformations.stores.computed.on_demand import on_demand_view

visit = RequestSource(name="visit", schema=[Field(name="pace", dtype=Float64, description="Pages a minute")])
user_now = on_demand_view(
    "user_now", [clicking.haste], sources=[user_clicks, visit], owner="web@x.org", description="A user on the site"
)
visiting_v1 = FeatureService(name="visiting_v1", features=[user_now], owner="ml@x.org", description="Leaves soon?")
"""


class Deployment:
    """The small project with an on-demand view, and the text of the module that its function reads."""

    def __init__(self, world: Any) -> None:
        self.world = world
        self.write()

    def write(self, *replacements: tuple[str, str], pacing: str = PACING) -> None:
        (self.world.folder / "domains" / "pacing.py").write_text(pacing)
        self.world.rewrite(*replacements, domain=DOMAIN + FUNCTIONS, views=VIEWS + OFFER)
        forget_pacing()


def forget_pacing() -> None:
    sys.modules.pop("transformations.pacing", None)
    vars(transformations).pop("pacing", None)
    forget_domain()


@pytest.fixture
def deployment(world: Any) -> Iterator[Deployment]:
    yield Deployment(world)
    forget_pacing()


def test_an_on_demand_feature_has_its_words_although_feast_drops_them(deployment: Deployment) -> None:
    (found,) = json.loads(deployment.world.run("show", "haste", "--json").stdout)
    assert found["name"] == "user_now:haste"
    assert found["meaning"] == "The pace of this visit against the attention of 7 days."
    assert (found["unit"], found["expected"], found["dtype"]) == ("ratio", "0 to 10", "Float64")
    assert found["owner"] == "web@x.org"
    assert found["lineage"][0] == "visiting_v1"
    assert any("clicks.seconds" in line for line in found["lineage"])


@pytest.mark.parametrize(
    ("replacement", "pacing"),
    [
        (("by=2.0", "by=4.0"), PACING),
        (("pc.divide(values, by)", "pc.divide(by, values)"), PACING),
        (("pc.multiply(halved", "pc.subtract(halved"), PACING),
        (("by=2.0", "by=2.0"), PACING.replace("3.0", "5.0")),
    ],
)
def test_a_change_in_anything_the_function_reaches_is_shown(
    deployment: Deployment, replacement: tuple[str, str], pacing: str
) -> None:
    deployment.world.apply()
    assert deployment.world.run("diff").stdout.startswith("nothing to apply")

    deployment.write(replacement, pacing=pacing)
    result = deployment.world.run("diff")

    assert result.exit_code == 0
    assert "~ feature user_now:haste\n    code: " in result.stdout
    assert "services touched: visiting_v1\n" in result.stdout


def test_a_change_of_nothing_that_computes_is_none(deployment: Deployment) -> None:
    deployment.world.apply()
    reworded = ("def halved(values", "# By what it says.\ndef halved(values")
    deployment.write(reworded, pacing=PACING.replace("How", "What"))
    assert deployment.world.run("diff").stdout.startswith("nothing to apply")


def test_a_function_of_other_rows_is_not_applied(deployment: Deployment) -> None:
    deployment.write(("pc.divide(values, by)", "pc.subtract(values, pc.mean(values))"))
    with pytest.raises(DefinitionError, match=r"function haste gives .* for it among other rows"):
        deployment.world.apply()
