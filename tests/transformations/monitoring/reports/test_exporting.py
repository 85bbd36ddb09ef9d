"""The metrics of a run say what the run found, and the dashboard names no metric that nothing exports."""

import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families

from tests.transformations.monitoring.conftest import LAST, multiplied, publish_changed, score, watch
from tests.worlds import weekly
from transformations.cli.commands.look.monitor import monitor
from transformations.insight.governance.owners import Owner, Ownership
from transformations.models.serving.metrics import FOLDER
from transformations.models.serving.metrics import Metrics as ServedMetrics
from transformations.monitoring.reports import stack
from transformations.monitoring.reports.exporting import Metrics

ROOT = Path(__file__).parents[4]
SERVER = {"features_redis_up", "features_view_complete_through_timestamp_seconds"}
"""Of `feast serve`; tests of the feature server read them there."""
AMTOOL = os.environ.get("AMTOOL") or shutil.which("amtool")
PROMTOOL = os.environ.get("PROMTOOL") or shutil.which("promtool")


def exported() -> set[str]:
    """The names of all metrics that our code gives out, as Prometheus stores them."""
    names = {family.name for family in Metrics({}, {}, (), datetime(2024, 5, 20, tzinfo=UTC)).collect()}
    for family in text_string_to_metric_families(ServedMetrics().text()[0].decode()):
        suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(family.type, [""])
        names |= {f"{family.name.removesuffix('_total')}{suffix}" for suffix in suffixes}
    return names | SERVER


def named_in(expression: str) -> set[str]:
    return set(re.findall(r"\bfeatures_\w+", expression))


def test_the_metrics_of_a_run_say_what_it_found(production: Path, tmp_path: Path) -> None:
    publish_changed(multiplied("spend_28d", 100.0))
    score(production)
    watch(production)
    file = tmp_path / "exported" / "features.prom"
    ended = CliRunner().invoke(monitor, [weekly.MODEL, "--export", str(file)])
    assert ended.exit_code == 3, ended.output
    samples = {
        (sample.name, sample.labels.get("subject"), sample.labels.get("measure")): sample
        for family in text_string_to_metric_families(file.read_text())
        for sample in family.samples
    }
    drift = samples["features_monitor_alert", "spend_28d", "drift"]
    assert (drift.value, drift.labels["owner"], drift.labels["version"]) == (1.0, weekly.OWNER, "1")
    effect = samples["features_monitor_effect", "spend_28d", "drift"].value
    assert effect > samples["features_monitor_limit", "spend_28d", "drift"].value
    assert samples["features_monitor_alert", "visits_28d", "drift"].value == 0
    day = samples["features_monitor_day_timestamp_seconds", None, None].value
    assert datetime.fromtimestamp(day, UTC).date() == LAST
    assert samples["features_monitor_info", None, None].labels["owner"] == weekly.OWNER
    assert {name for name, _, _ in samples} <= exported()

    refused = CliRunner().invoke(monitor, [weekly.MODEL, "--export", str(tmp_path / "features.txt")])
    assert (refused.exit_code, "ends with .prom" in refused.output) == (2, True)


def test_every_metric_of_the_dashboard_and_of_the_rules_is_exported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FOLDER, raising=False)
    panels = stack.dashboard()["panels"]
    assert isinstance(panels, list)
    expressions = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    assert len(expressions) > 15
    assert {name for each in expressions for name in named_in(each)} <= exported()
    rules = yaml.safe_load((stack.FILES / stack.RULES).read_text())
    of_rules = {name for group in rules["groups"] for rule in group["rules"] for name in named_in(rule["expr"])}
    assert len(of_rules) > 5
    assert of_rules <= exported()


def test_the_dashboard_goes_from_business_to_models_to_infrastructure() -> None:
    panels = stack.dashboard()["panels"]
    assert isinstance(panels, list)
    rows = [(panel["gridPos"]["y"], panel["title"]) for panel in panels if panel["type"] == "row"]
    assert [title for _, title in sorted(rows)] == ["Business", "Models", "Infrastructure"]


def test_an_alert_goes_to_its_owner_and_names_runbook_and_command() -> None:
    owners = {"team@example.com": Owner(team="Team", contact="channel team")}
    route = stack.routes(Ownership(owners=owners))["route"]
    assert isinstance(route, dict)
    assert route["routes"][0]["matchers"] == ['owner="team@example.com"']
    assert route["routes"][0]["receiver"] == "Team: channel team"
    rules = yaml.safe_load((stack.FILES / stack.RULES).read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            assert {"summary", "command", "runbook_url"} <= set(rule["annotations"]), rule["alert"]
            assert rule["annotations"]["command"].startswith("features ")


@pytest.mark.skipif(AMTOOL is None, reason="amtool is not installed (Debian's package prometheus-alertmanager)")
def test_alertmanager_takes_the_routes_and_sends_an_alert_to_its_owner(tmp_path: Path) -> None:
    owners = {"team@example.com": Owner(team="Team", contact="channel team")}
    stack.write_stack(tmp_path / "stack", Ownership(owners=owners), stack.TARGETS, stack.ALERTMANAGER)
    file = f"--config.file={tmp_path / 'stack' / 'alertmanager.yaml'}"
    for labels, receiver in (
        (["owner=team@example.com", "severity=page"], "Team: channel team"),
        (["owner=team@example.com"], "Team: channel team"),
        (["owner=somebody@else.com"], "everybody"),
    ):
        command = [str(AMTOOL), "config", "routes", "test", file, *labels]
        ended = subprocess.run(command, check=True, capture_output=True, text=True)
        assert ended.stdout.strip() == receiver


@pytest.mark.proof
@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian's package prometheus; or set PROMTOOL)")
def test_rules_fire_and_resolve(tmp_path: Path) -> None:
    shutil.copy(stack.FILES / stack.RULES, tmp_path)
    shutil.copy(Path(__file__).with_name("rules_test.yaml"), tmp_path)
    tests = yaml.safe_load((tmp_path / "rules_test.yaml").read_text())["tests"]
    tested = {each["alertname"] for test in tests for each in test["alert_rule_test"]}
    rules = yaml.safe_load((tmp_path / stack.RULES).read_text())
    assert tested == {rule["alert"] for group in rules["groups"] for rule in group["rules"]}
    command = [str(PROMTOOL), "test", "rules", "rules_test.yaml"]
    ended = subprocess.run(command, check=False, cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian's package prometheus; or set PROMTOOL)")
def test_the_stack_is_one_that_prometheus_takes(tmp_path: Path) -> None:
    written = stack.write_stack(tmp_path / "stack", None, stack.TARGETS, stack.ALERTMANAGER)
    assert {"prometheus.yaml", "alertmanager.yaml", "rules.yaml", "dashboard.json"} <= {each.name for each in written}
    command = [str(PROMTOOL), "check", "config", str(written[0])]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_make_monitoring_keeps_all_of_it_where_the_data_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With commands that are played: each notes where it is called, and with what."""
    data, called = tmp_path / "my data", tmp_path / "called"
    noting = f'#!/bin/sh\necho "$PWD|${{0##*/}} $*" >> {called}\n'
    for name, played in (
        ("features", noting + 'mkdir -p "$FEATURES_DATA/monitoring/_stack/served"\n'),
        ("prometheus", noting),
        ("python", f'#!/bin/sh\n[ "$2" = http.server ] && exec sleep 60\nexec {sys.executable} "$@"\n'),
    ):
        (tmp_path / name).write_text(played)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("FEATURES_DATA", str(data))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    beside = os.path.relpath(tmp_path, ROOT)  # where the Makefile has .venv/bin
    command = ["make", "-o", ".venv/.installed", "monitoring", f"BIN={beside}"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    stack = data / "monitoring" / "_stack"
    told = "--config.file=prometheus.yaml --web.listen-address=127.0.0.1:9090 --storage.tsdb.path=tsdb"
    assert called.read_text().splitlines() == [
        f"{ROOT}|features monitor --setup {stack}",
        f"{ROOT}|features monitor --export {stack}/served/metrics.prom",
        f"{stack}|prometheus {told}",
    ]
