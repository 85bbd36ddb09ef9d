"""A data folder that was copied with an older registry, which holds absolute paths: every command says what to do."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from transformations.engine.base.settings import get_settings
from transformations.insight.repository import open_store

DATASET = """
feature_service: reading_v1
spine: {query: "SELECT user_id, clicked_at AS event_timestamp FROM raw.clicks"}
"""


def hold_absolute_paths() -> None:
    """The registry as it was before its paths were relative to the data folder."""
    settings = get_settings()
    store = open_store(settings)
    for view in store.registry.list_feature_views(store.project):
        view.batch_source.file_options.uri = str(settings.offline_dir / view.name)
        store.registry.apply_feature_view(view, store.project, commit=True)


def test_each_command_names_the_views_of_another_folder_and_feast_apply_mends_them(
    built: Any, redis: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built.apply()
    built.materialize("2024-05-12T00:00:00+00:00")
    hold_absolute_paths()
    assert "every view has all that its sources have" in built.run("status").stdout
    shutil.copytree(built.settings.data, tmp_path / "copy")
    monkeypatch.setenv("FEATURES_DATA", str(tmp_path / "copy"))
    (tmp_path / "reading.yaml").write_text(DATASET)

    assert "not applied" in built.run("status").stdout
    assert "next:\n  feast -c feature_repo apply\n" in built.run("status").stdout
    doctor = built.run("doctor")
    assert (doctor.exit_code, "for another data folder, by user_clicks, user_topics" in doctor.stdout) == (3, True)
    where = "user_clicks: the registry has its files at"
    compared = built.run("parity")
    assert (compared.exit_code, f"not compared: {where}" in compared.stdout) == (3, True)
    assert "no view is applied online" not in compared.stdout
    explained = built.run("explain", "user_clicks:clicks_count_7d", "1", "--at", "2024-05-09")
    assert f"online: {where}" in explained.output
    made = built.run("dataset", "create", str(tmp_path / "reading.yaml"))
    assert (made.exit_code, f"Error: {where}" in made.stderr) == (3, True)

    built.apply()
    assert "every view has all that its sources have" in built.run("status").stdout
    assert built.run("parity").exit_code == 0
    assert built.run("dataset", "create", str(tmp_path / "reading.yaml")).exit_code == 0
    assert built.run("doctor").exit_code == 0
