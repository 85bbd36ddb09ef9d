"""The project of clicks and pages for the commands: empty, with its tables built, or served."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from zlib import crc32

import pytest

import transformations
from tests.worlds.clicking import CLICKS, DOMAIN, PAGES, VIEWS, Templates, World, forget_domain
from transformations.local import redis as embedded


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A project of its own; the platform is the real one."""
    found = World(tmp_path)
    (tmp_path / "contracts").mkdir()
    (tmp_path / "contracts" / "clicks.yaml").write_text(CLICKS)
    (tmp_path / "contracts" / "pages.yaml").write_text(PAGES)
    (tmp_path / "domains").mkdir()
    found.repository.mkdir()
    yaml = Path(__file__).parents[3] / "feature_repo" / "feature_store.yaml"
    (found.repository / "feature_store.yaml").write_text(yaml.read_text())
    monkeypatch.setenv("FEATURES_CONTRACTS", str(tmp_path / "contracts"))
    monkeypatch.setenv("FEATURES_EXPECTATIONS", str(tmp_path / "expectations"))
    monkeypatch.setenv("FEATURE_REPO_DIR_ENV_VAR", str(found.repository))
    monkeypatch.setattr(transformations, "__path__", [*transformations.__path__, str(tmp_path / "domains")])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    found.rewrite()
    yield found
    forget_domain()
    if found.settings.redis_dir.is_dir():
        embedded.stop()


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Templates:
    """What worlds of this session were filled with."""
    return Templates(tmp_path_factory)


@pytest.fixture
def built(world: World, templates: Templates, _spark: None) -> World:
    """The project with its data delivered and its tables built."""

    def fill() -> None:
        world.deliver_all()
        assert world.run("build").exit_code == 0

    templates.fill(world, "built", fill)
    return world


@pytest.fixture
def serve(world: World, templates: Templates, _spark: None, monkeypatch: pytest.MonkeyPatch) -> Callable[..., World]:
    """Builds, applies and loads the project with this domain and these views at a moment, which is then the present."""

    def at(now: str, domain: str = DOMAIN, views: str = VIEWS) -> World:
        def fill() -> None:
            world.deliver_all()
            assert world.run("build").exit_code == 0
            monkeypatch.setenv("FEATURES_CLOCK", now)
            world.apply()
            world.materialize(now)

        world.rewrite(domain=domain, views=views)
        monkeypatch.setenv("FEATURES_REDIS_READ_TIMEOUT_MS", "10000")
        templates.fill(world, f"served {now} {crc32((domain + views).encode()):08x}", fill)
        monkeypatch.setenv("FEATURES_CLOCK", now)
        return world

    return at
