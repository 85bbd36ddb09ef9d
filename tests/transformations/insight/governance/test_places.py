"""The file and line of what a rule speaks of."""

from pathlib import Path

import pytest

from transformations.engine.base.settings import Settings
from transformations.insight.governance.places import Places

DOMAIN = '''
@on_demand(unit="ratio")
def page_rate(pages: Float64) -> Float64:
    """Pages."""

user_topics = WindowedFeatures(
    name="user_topics",
    features=[Count(name="page", description="Of another view")],
)
user_clicks = WindowedFeatures(
    name="user_clicks",
    features=[
        Count(name="page", description="Pages"),
        Attribute("age", description="Age"),
    ],
)
'''
VIEWS = """
user = Entity(name="user", join_keys=["user_id"])
user_clicks = feature_view(clicking.user_clicks, entity=user)
user_now = on_demand_view("user_now", [clicking.page_rate])
plain = FeatureView(name="user_plain", schema=[Field(name="height", dtype=Int64)])
"""
CONTRACT = """schema:
  - name: clicks
    properties:
      - name: page
      - {name: user_id, logicalType: integer}
"""


@pytest.mark.parametrize(
    ("place", "where"),
    [
        ("entity user", "feature_repo/users.py:2"),
        ("view user_clicks", "feature_repo/users.py:3"),
        ("on-demand view user_now", "feature_repo/users.py:4"),
        ("view user_plain", "feature_repo/users.py:5"),
        ("feature user_plain:height", "feature_repo/users.py:5"),
        ("feature user_now:page_rate", "clicking.py:3"),
        ("function page_rate", "clicking.py:3"),
        ("feature user_clicks:page_count_7d", "clicking.py:13"),
        ("measure user_topics.page", "clicking.py:8"),
        ("feature user_clicks:age", "clicking.py:14"),
        ("source clicks", "contracts/clicks.yaml:1"),
        ("column clicks.page", "contracts/clicks.yaml:4"),
        ("column clicks.user_id", "contracts/clicks.yaml:5"),
        ("dataset churn", "feature_repo/datasets/churn.yaml:1"),
        ("dataset other", None),
        ("view other", None),
    ],
)
def test_a_place_has_its_file_and_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, where: str | None
) -> None:
    repository, contracts = tmp_path / "feature_repo", tmp_path / "contracts"
    (repository / "datasets").mkdir(parents=True)
    contracts.mkdir()
    (repository / "users.py").write_text(VIEWS)
    (repository / "datasets" / "churn.yaml").write_text("feature_service: churn_v1\n")
    (contracts / "clicks.yaml").write_text(CONTRACT)
    (tmp_path / "clicking.py").write_text(DOMAIN)
    monkeypatch.setenv("FEATURE_REPO_DIR_ENV_VAR", str(repository))
    found = Places(Settings(contracts=contracts), [tmp_path / "clicking.py"]).of(place)
    assert (found and found.removeprefix(f"{tmp_path}/")) == where
