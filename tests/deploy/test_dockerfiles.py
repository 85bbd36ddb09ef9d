"""No docker is needed: Dockerfiles and manifest are read. Whatever they name exists, and they are as promised."""

import importlib
import re
import tomllib
from typing import Any

import click
import pytest
import yaml
from packaging.requirements import Requirement

from tests.deploy.dockerfiles import DEPLOY, ROOT, Dockerfile, read
from transformations.cli.main import cli
from transformations.engine.base.settings import Settings
from transformations.models.serving.api import app

FILES = {file.role: file for file in read()}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINNED = {line.partition("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().splitlines()}
MANIFEST = (DEPLOY / "kubernetes.yaml").read_text()
OBJECTS: list[dict[str, Any]] = list(yaml.safe_load_all(MANIFEST))
EVERY = pytest.mark.parametrize("file", FILES.values(), ids=FILES)


def test_there_is_one_a_role() -> None:
    assert sorted(FILES) == ["batch", "predict", "serve"]


@EVERY
def test_every_path_that_is_copied_is_there_and_let_into_the_build(file: Dockerfile) -> None:
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert {path for path in file.copied if not (ROOT / path).exists()} == set()
    assert set(file.copied) <= let_in


@EVERY
def test_an_image_is_small_runs_as_nobody_and_says_how_it_is(file: Dockerfile) -> None:
    assert file.all("FROM") == ["$BASE AS install", "$BASE"]  # no build tool stays
    assert file.all("ARG") == ["BASE=python:3.12-slim-bookworm"]  # or the same by its digest: --build-arg
    assert file.all("USER") == ["10001"]
    users = [place for place, (name, _) in enumerate(file.steps) if name == "USER"]
    runs = [place for place, (name, _) in enumerate(file.steps) if name == "RUN"]
    assert min(users) > max(runs)
    assert "--no-cache-dir" in file.installed
    assert len(file.health) > 0


@EVERY
def test_versions_come_from_the_constraints_and_extras_exist(file: Dockerfile) -> None:
    options, given = file.installed[:3], file.installed[3:]
    assert options == ["--no-cache-dir", "-c", "constraints.txt"]
    (ours,) = [each for each in given if each.startswith(".")]
    extras = set(filter(None, ours.removeprefix(".").strip("[]").split(",")))
    assert extras <= set(PROJECT["optional-dependencies"])
    assert {each for each in given if not each.startswith(".")} <= PINNED
    assert extras.isdisjoint({"dev", "demo", "notebook"})


def test_only_the_batch_image_has_spark_and_the_predict_image_one_trainer() -> None:
    assert FILES["serve"].installed[3:] == ["."]
    declared = {Requirement(line).name for line in PROJECT["optional-dependencies"]["models"]}
    trainers = [each for each in FILES["predict"].installed[4:] if each in declared]
    assert trainers == FILES["predict"].installed[4:] == ["xgboost-cpu"]
    assert "batch" in FILES["batch"].installed[3]


@EVERY
def test_what_a_wheel_needs_of_the_system_is_installed_and_nothing_is_left_of_that(file: Dockerfile) -> None:
    """LightGBM's is the only one; `make deploy-proof` asks the libraries themselves."""
    has_lightgbm = any("models" in each or each == "lightgbm" for each in file.installed)
    assert file.packages == (["libgomp1"] if has_lightgbm else [])
    assert all("rm -rf /var/lib/apt/lists/*" in each for each in file.all("RUN") if "apt-get" in each)


def test_a_server_is_not_called_ill_before_its_models_can_be_loaded() -> None:
    assert FILES["predict"].start_period > app.SECONDS_TO_LOAD


@EVERY
def test_settings_that_are_named_exist(file: Dockerfile) -> None:
    known = {f"FEATURES_{name}".upper() for name in Settings.model_fields}
    text = (DEPLOY / f"{file.role}.Dockerfile").read_text() + MANIFEST
    assert set(re.findall(r"FEATURES_[A-Z_]+", text)) <= known


def test_commands_are_those_of_the_command_lines() -> None:
    from feast.cli.cli import cli as feast

    for command in (FILES["batch"].command, FILES["batch"].health, container("features-day")["args"]):
        program, name, *arguments = command
        ours = cli.get_command(click.Context(cli), name)
        assert (program, ours is not None) == ("features", True)
        assert ours is not None
        ours.make_context(name, list(arguments))
    program, _, repository, name, *arguments = FILES["serve"].command
    assert (program, repository in FILES["serve"].copied) == ("feast", True)
    feast.commands[name].make_context(name, arguments)
    program, _, place, *_ = FILES["predict"].command
    module, _, function = place.partition(":")
    assert (program, callable(getattr(importlib.import_module(module), function))) == ("uvicorn", True)


@pytest.mark.parametrize("role", ["serve", "predict"])
def test_ports_and_paths_are_the_same_everywhere(role: str) -> None:
    file, found = FILES[role], container(f"features-{role}")
    (port,) = file.all("EXPOSE")
    assert port in file.command
    (asked,) = re.findall(r"http://127\.0\.0\.1:(\d+)(/[^']*)'", file.health[-1])
    assert asked == (port, found["readinessProbe"]["httpGet"]["path"])
    probes = [found[probe]["httpGet"]["port"] for probe in ("readinessProbe", "livenessProbe")]
    services = {each["metadata"]["name"]: each["spec"] for each in OBJECTS if each["kind"] == "Service"}
    (served,) = services[f"features-{role}"]["ports"]
    assert {found["ports"][0]["containerPort"], *probes, served["port"]} == {int(port)}


def test_probes_ask_for_what_the_servers_answer() -> None:
    from transformations.models.serving.api.door import OPEN_PATHS
    from transformations.stores.server.front import OWN_PATHS

    probes = ("readinessProbe", "livenessProbe")
    assert {container("features-serve")[probe]["httpGet"]["path"] for probe in probes} <= OWN_PATHS
    assert {container("features-predict")[probe]["httpGet"]["path"] for probe in probes} <= OPEN_PATHS


def test_the_manifest_says_that_it_was_not_run_and_its_pods_are_nobody() -> None:
    assert MANIFEST.startswith("# NOT RUN HERE")
    for name, role in (("features-serve", "serve"), ("features-predict", "predict"), ("features-day", "batch")):
        context = pod_of(name)["securityContext"]
        (user,) = FILES[role].all("USER")
        assert (context["runAsNonRoot"], context["runAsUser"]) == (True, int(user))
        assert container(name)["image"] == f"features-{role}:{PROJECT['version']}"


def test_the_daily_job_is_repeated_for_a_missing_service_alone() -> None:
    job = next(each for each in OBJECTS if each["kind"] == "CronJob")["spec"]["jobTemplate"]["spec"]
    (rule,) = job["podFailurePolicy"]["rules"]
    assert (rule["action"], rule["onExitCodes"]["values"]) == ("FailJob", [1, 2, 3])


def pod_of(name: str) -> dict[str, Any]:
    found = next(each for each in OBJECTS if each["metadata"]["name"] == name and each["kind"] != "Service")["spec"]
    template: dict[str, Any] = found.get("template") or found["jobTemplate"]["spec"]["template"]
    return dict(template["spec"])


def container(name: str) -> dict[str, Any]:
    (found,) = pod_of(name)["containers"]
    return dict(found)
