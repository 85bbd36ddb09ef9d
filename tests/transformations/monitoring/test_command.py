"""`features monitor` judges what was served, says whom it concerns, and ends with 3 where something alerts."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.transformations.monitoring.conftest import LAST, multiplied, publish_changed, score, watch
from tests.worlds import weekly
from transformations.cli.commands.look.monitor import monitor
from transformations.engine.base.errors import UsageError
from transformations.monitoring.reading.config import read_monitoring


def test_every_day_is_judged_in_its_order_and_what_alerts_is_named(production: Path) -> None:
    publish_changed(multiplied("spend_28d", 100.0))
    score(production)
    watch(production)
    quiet = CliRunner().invoke(monitor, [weekly.MODEL, "--from", "2024-04-15", "--to", "2024-05-19"])
    assert quiet.exit_code == 0, quiet.output
    assert "user_return on 2024-05-13: nothing alerts, of " in quiet.stdout
    assert quiet.stdout.count("fine  ") == 12, "of the newest day alone it is shown what is fine"

    found = CliRunner().invoke(monitor, [weekly.MODEL])
    assert found.exit_code == 3
    assert "ALERT  spend_28d (v1)" in found.stdout
    assert "spend_28d of user_return version 1: drift " in found.output
    assert f"since {LAST} ({weekly.OWNER})" in found.output

    document = json.loads(CliRunner().invoke(monitor, [weekly.MODEL, "--day", str(LAST), "--json"]).stdout)
    assert [(each["model"], each["day"]) for each in document] == [(weekly.MODEL, str(LAST))]
    assert document[0]["findings"][0]["state"] == "alert"


def test_a_configuration_is_read_strictly_with_line_and_nearest_word(tmp_path: Path) -> None:
    assert read_monitoring(tmp_path).false_alerts == 1
    (tmp_path / "monitoring.yaml").write_text("false_alerts: 2\nleast_row: 5\nvolume: {at_least: 3}\n")
    with pytest.raises(UsageError) as refused:
        read_monitoring(tmp_path)
    assert "monitoring.yaml:2: there is no key least_row; did you mean 'least_rows'?" in refused.value.message
    assert "monitoring.yaml:3: volume: at_least is below at_most" in refused.value.message
