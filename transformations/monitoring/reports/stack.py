"""The files that bring a monitoring stack up around the metrics: Prometheus, Alertmanager, Grafana.

`python -m transformations.monitoring.reports.stack` prints the folder in which `make monitoring` keeps them.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from transformations.engine.base import storage
from transformations.engine.base.settings import Settings, get_settings
from transformations.insight.governance.owners import Ownership, read_ownership

FILES = Path(__file__).parent / "files"
RULES, DASHBOARD = "rules.yaml", "dashboard.json"
TARGETS = ("127.0.0.1:9464", "127.0.0.1:6566", "127.0.0.1:8080")
"""The last run's metrics, `feast serve`, `features model serve`."""
ALERTMANAGER = "127.0.0.1:9093"
_PAGER, _DEFAULT = "page", "everybody"
_EXAMPLE = "http://127.0.0.1:9095/"
"""Where alerts are sent until somebody names a receiver: nobody listens there."""


def write_stack(folder: Path, ownership: Ownership | None, targets: Sequence[str], alertmanager: str) -> list[Path]:
    """Write the configuration of a stack into a folder, replacing what an earlier call wrote there.

    targets: `host:port` of each server that gives out metrics below `/metrics`, and of the file of the last run. The
    route file has a receiver an owner, for whoever runs the stack to say how that owner is reached.
    """
    storage.make_folder(folder)
    written = [
        _write(folder / "prometheus.yaml", yaml.safe_dump(prometheus(targets, alertmanager), sort_keys=False)),
        _write(folder / "alertmanager.yaml", yaml.safe_dump(routes(ownership), sort_keys=False, allow_unicode=True)),
    ]
    for name, place in ((RULES, folder), (DASHBOARD, folder / "grafana" / "dashboards")):
        storage.make_folder(place)
        shutil.copyfile(FILES / name, storage.make_file(place / name))
        written.append(place / name)
    grafana = folder / "grafana" / "provisioning"
    for kind, document in (("datasources", _DATASOURCE), ("dashboards", _provider(folder))):
        storage.make_folder(grafana / kind)
        written.append(_write(grafana / kind / "features.yaml", yaml.safe_dump(document, sort_keys=False)))
    return written


def set_up(folder: Path, repository: Path) -> list[Path]:
    """The stack of a repository on loopback: its owners, the servers' usual ports, the file of the last run."""
    return write_stack(folder, read_ownership(repository), TARGETS, ALERTMANAGER)


def home(settings: Settings) -> Path:
    """The folder for a stack on this machine, beside what it shows; no model has a name like it."""
    return settings.monitoring_dir / "_stack"


def prometheus(targets: Sequence[str], alertmanager: str) -> Mapping[str, object]:
    """Prometheus' configuration."""
    return {
        "global": {"scrape_interval": "30s", "evaluation_interval": "30s"},
        "rule_files": [RULES],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]},
        "scrape_configs": [
            {"job_name": "features", "honor_labels": True, "static_configs": [{"targets": list(targets)}]}
        ],
    }


def routes(ownership: Ownership | None) -> Mapping[str, object]:
    """Alertmanager's configuration: an alert goes to its owner's receiver, a page at once, a ticket once a day.

    A receiver names how its owner is reached, as owners.yaml says; its webhook is to be filled in.
    """
    owners = ownership.owners if ownership else {}
    receivers = [{"name": _DEFAULT, "webhook_configs": [_webhook()]}]
    receivers += [{"name": f"{each.team}: {each.contact}", "webhook_configs": [_webhook()]} for each in owners.values()]
    return {
        "route": {
            "receiver": _DEFAULT,
            "group_by": ["alertname", "model"],
            "group_wait": "30s",
            "group_interval": "5m",
            "repeat_interval": "24h",
            "routes": [
                {
                    "receiver": f"{each.team}: {each.contact}",
                    "matchers": [f'owner="{name}"'],
                    "routes": [
                        {
                            "receiver": f"{each.team}: {each.contact}",
                            "matchers": [f'severity="{_PAGER}"'],
                            "repeat_interval": "1h",
                        }
                    ],
                }
                for name, each in owners.items()
            ],
        },
        "inhibit_rules": [
            {
                "source_matchers": ['alertname="DataAlert"'],
                "target_matchers": ['alertname="FeatureAlert"'],
                "equal": ["model", "subject"],
            }
        ],
        "receivers": receivers,
    }


def dashboard() -> Mapping[str, object]:
    """The dashboard, as Grafana reads it."""
    found: Mapping[str, object] = json.loads((FILES / DASHBOARD).read_text(encoding="utf-8"))
    return found


_DATASOURCE = {
    "apiVersion": 1,
    "datasources": [
        {"name": "features", "uid": "features", "type": "prometheus", "access": "proxy", "url": "http://127.0.0.1:9090"}
    ],
}


def _provider(folder: Path) -> Mapping[str, object]:
    options = {"path": str((folder / "grafana" / "dashboards").absolute())}
    return {"apiVersion": 1, "providers": [{"name": "features", "type": "file", "options": options}]}


def _webhook() -> Mapping[str, object]:
    return {"url": _EXAMPLE, "send_resolved": True}


def _write(file: Path, text: str) -> Path:
    storage.make_file(file).write_text(text, encoding="utf-8")
    return file


if __name__ == "__main__":
    sys.stdout.write(f"{home(get_settings())}\n")
