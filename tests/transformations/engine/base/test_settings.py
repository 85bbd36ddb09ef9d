"""Settings: one place, overridable by environment, documented, and never printing a password."""

import traceback
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from transformations.engine.base.errors import UsageError
from transformations.engine.base.settings import (
    Settings,
    explain,
    get_settings,
    platform,
    present_moment,
    unknown_variables,
)

PROJECT = Path(__file__).resolve().parents[4]


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"FEATURES_{name.upper()}", raising=False)


def test_without_any_variable_everything_lies_in_the_project_from_any_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = get_settings()

    assert settings.project_root == PROJECT
    assert settings.data == PROJECT / "data"
    assert settings.raw_dir == PROJECT / "data" / "raw"
    assert settings.offline_dir == PROJECT / "data" / "offline"
    assert settings.registry_path == PROJECT / "data" / "registry.db"
    assert settings.redis_dir == PROJECT / "data" / "redis"
    assert settings.contracts == PROJECT / "validation" / "contracts"


def test_each_setting_has_a_variable_a_meaning_and_an_example_that_it_accepts(monkeypatch: pytest.MonkeyPatch) -> None:
    for setting in explain(Settings()):
        assert setting.description, setting.name
        monkeypatch.setenv(setting.variable, setting.example)

    assert {setting.origin for setting in explain(get_settings())} == {"environment"}


def test_a_changed_variable_is_seen_at_once_and_an_unchanged_one_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    before = get_settings()
    assert get_settings() is before

    monkeypatch.setenv("FEATURES_SPARK_MASTER", "local[1]")
    assert get_settings().spark_master == "local[1]"


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEATURES_DATA", "")

    assert get_settings().data == PROJECT / "data"


def test_a_relative_path_is_taken_from_where_the_command_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "STARTED_IN", tmp_path)
    monkeypatch.setenv("FEATURES_DATA", "somewhere/else")
    (tmp_path / "feature_repo").mkdir()
    monkeypatch.chdir(tmp_path / "feature_repo")  # as `feast -c feature_repo` does before it reads a setting

    assert get_settings().data == tmp_path / "somewhere" / "else"


def test_spark_settings_are_one_json_object_whose_values_become_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "FEATURES_SPARK_CONF", '{"spark.ui.enabled": false, "spark.cores.max": 4, "spark.app.name": "x"}'
    )

    assert get_settings().spark_conf == {
        "spark.ui.enabled": "false",
        "spark.cores.max": "4",
        "spark.app.name": "x",
    }


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2017-06-01T12:00:00", datetime(2017, 6, 1, 12, tzinfo=UTC)),
        ("2017-06-01T12:00:00+02:00", datetime(2017, 6, 1, 10, tzinfo=UTC)),
        ("2017-06-01", datetime(2017, 6, 1, tzinfo=UTC)),
    ],
)
def test_the_clock_stands_still_at_a_given_moment_in_utc(
    text: str, moment: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEATURES_CLOCK", text)

    assert get_settings().now() == moment
    assert get_settings().now().tzinfo is UTC


def test_a_clock_in_a_file_goes_on_while_a_process_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "clock"
    monkeypatch.setenv("FEATURES_CLOCK_FILE", str(file))
    settings = get_settings()
    for hour in (6, 7):
        file.write_text(f"2017-06-01T{hour:02}:00:00Z\n")
        assert settings.now() == present_moment() == datetime(2017, 6, 1, hour, tzinfo=UTC)

    monkeypatch.setenv("FEATURES_CLOCK", "2018-01-01")
    assert get_settings().now() == present_moment() == datetime(2018, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "soon", "2017", None])
def test_a_clock_file_without_a_moment_is_refused(
    text: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "clock"
    if text is not None:
        file.write_text(text)
    monkeypatch.setenv("FEATURES_CLOCK_FILE", str(file))

    with pytest.raises(UsageError, match=r"^FEATURES_CLOCK_FILE=.*clock: .*such as 2017-06-01T12:00:00Z"):
        present_moment()


def test_without_a_clock_now_is_now() -> None:
    before = datetime.now(UTC)

    assert before <= get_settings().now() <= datetime.now(UTC)


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("FEATURES_REDIS_READ_TIMEOUT_MS", "soon", r"^FEATURES_REDIS_READ_TIMEOUT_MS=soon: .*integer.*such as 250\."),
        ("FEATURES_REDIS_READ_TIMEOUT_MS", "0", "should be greater than 0"),
        ("FEATURES_SPARK_CONF", "{", r"^FEATURES_SPARK_CONF=\*\*\*: "),
        ("FEATURES_SPARK_CONF", "[1]", "not a JSON object"),
        ("FEATURES_CLOCK", "yesterday", "^FEATURES_CLOCK=yesterday: .*such as 2017-06-01T12:00:00Z"),
        ("FEATURES_CLOCK", "2017", "^FEATURES_CLOCK=2017: a number alone is no moment"),
        ("FEATURES_CLOCK", "1496318400.5", "a number alone is no moment"),
        ("FEATURES_SPARK_DRIVER_MEMORY", "a lot", "such as 4g"),
        ("FEATURES_OFFLINE_MEMORY_LIMIT", "8", "such as 8GB"),
    ],
)
def test_a_value_that_cannot_be_used_is_named_with_variable_and_expected_form(
    variable: str, value: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)

    with pytest.raises(UsageError, match=message):
        get_settings()


def test_all_bad_values_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEATURES_CLOCK", "yesterday")
    monkeypatch.setenv("FEATURES_OFFLINE_THREADS", "-1")

    with pytest.raises(UsageError, match=r"FEATURES_OFFLINE_THREADS=-1[\s\S]*FEATURES_CLOCK=yesterday"):
        get_settings()


def test_passwords_are_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEATURES_REDIS_URL", "redis://me:hunter2@host:6379/0")
    monkeypatch.setenv("FEATURES_REGISTRY_URL", "postgresql+psycopg://me:hunter2@host/registry")
    azure = "spark.hadoop.fs.azure.account.key.shop.dfs.core.windows.net"
    monkeypatch.setenv("FEATURES_SPARK_CONF", f'{{"{azure}": "hunter2", "spark.sql.shuffle.partitions": "8"}}')
    settings = get_settings()
    shown = {setting.name: setting.value for setting in explain(settings)}

    assert shown["redis_url"] == "redis://***@host:6379/0"
    assert shown["registry_url"] == "postgresql+psycopg://***@host/***"
    assert shown["spark_conf"] == f'{{"{azure}": "***", "spark.sql.shuffle.partitions": "8"}}'
    assert "hunter2" not in f"{settings} {settings!r} {settings.redis_url!r}"
    with pytest.raises(ValidationError) as refused:
        Settings(registry_url=["hunter2"])  # type: ignore[arg-type]
    assert "hunter2" not in str(refused.value)


SECRET_PLACES = {
    "redis_url": "redis://me:{}@host",
    "registry_url": "postgresql://me:{}@host/registry",
    "spark_conf": '{{"spark.hadoop.fs.s3a.secret.key": "{}"}}',
    "spark_master": "k8s://https://me:{}@host",
    "serving_write_token": "0123456789abcdef{}",
}


@given(
    st.text("ΓΔΛΞΠΣΨΩ '#/?@,=&%:[", min_size=1),
    st.sampled_from(sorted(SECRET_PLACES)),
    st.booleans(),
)
def test_no_part_of_a_secret_is_shown_of_any_setting(secret: str, name: str, is_mistaken: bool) -> None:
    """Greek letters stand in nothing else that is shown."""
    value = secret[:15] if is_mistaken and name == "serving_write_token" else SECRET_PLACES[name].format(secret)
    value = value[:-1] if is_mistaken and name == "spark_conf" else value
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv(f"FEATURES_{name.upper()}", value)
        try:
            settings = get_settings()
        except UsageError as error:
            said = f"{error.message} {''.join(traceback.format_exception(error))}"
        else:
            said = repr(settings) + "".join(str(each.value) for each in explain(settings) if each.name == name)
    assert not set("ΓΔΛΞΠΣΨΩ") & set(said)


def test_a_token_is_shown_by_no_character_not_even_where_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {setting.name: setting.value for setting in explain(get_settings())}["serving_write_token"] is None
    monkeypatch.setenv("FEATURES_SERVING_WRITE_TOKEN", "hunter2-hunter2-hunter2")
    settings = get_settings()
    assert {setting.name: setting.value for setting in explain(settings)}["serving_write_token"] == "***"
    assert "hunter2" not in repr(settings)
    monkeypatch.setenv("FEATURES_SERVING_WRITE_TOKEN", "hunter2")
    with pytest.raises(UsageError, match=r"FEATURES_SERVING_WRITE_TOKEN=\*\*\*: .*at least 16") as refused:
        get_settings()
    assert "hunter2" not in str(refused.value)


def test_a_misspelt_variable_is_found_with_the_name_that_was_meant() -> None:
    environ = {"FEATURES_REDIS_ULR": "redis://host", "FEATURES_DATA": "/data", "features_clock": "", "OTHER": "x"}
    ((variable, remedy),) = unknown_variables(environ)

    assert variable == "FEATURES_REDIS_ULR"
    assert remedy.startswith("did you mean 'FEATURES_REDIS_URL'?")


def test_an_unknown_argument_is_refused() -> None:
    with pytest.raises(ValueError, match="dat"):
        Settings(dat="/data")  # type: ignore[call-arg]


def test_the_project_root_is_this_checkout() -> None:
    assert platform.find_project_root() == PROJECT
