"""The configuration of a dataset: read whole, and every fault named with its file and key."""

from datetime import date, timedelta
from pathlib import Path

import pytest

from transformations.datasets.config import DatasetConfig, read_config
from transformations.engine.base.errors import UsageError

WHOLE = """
feature_service: visits_v1
spine: {query: SELECT 1}
label: {column: label, horizon: 28 days}
split: {train: 2024-05-01, test: 2024-06-01, zone: America/New_York}
"""


def read(folder: Path, text: str) -> DatasetConfig:
    (folder / "visits_2024.yaml").write_text(text)
    return read_config(folder / "visits_2024.yaml")


def test_a_configuration_is_named_as_its_file_and_has_defaults(tmp_path: Path) -> None:
    found = read(tmp_path, WHOLE)
    assert (found.name, found.seed, found.sample, found.as_served) == ("visits_2024", 0, None, False)
    assert found.label.horizon == timedelta(days=28)
    assert found.split.train == date(2024, 5, 1)
    assert f"{found.split.instant(date(2024, 5, 1)):%H:%M %Z}" == "04:00 UTC"
    assert DatasetConfig.model_validate_json(found.model_dump_json()) == found


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "feature_service: visits_v1",
            "",
            "visits_2024.yaml:1: feature_service is missing. A dataset needs feature_ser",
        ),
        ("horizon", "horizn", "visits_2024.yaml:4: there is no key label.horizn; did you mean 'horizon'"),
        (
            "feature_service:",
            "feature_view: a\nfeature_service:",
            "there is no key feature_view; did you mean 'feature_s",
        ),
        (", horizon: 28 days", "", "visits_2024.yaml:4: label.horizon is missing. Its part: The spine's column to be"),
        ("28 days", "4 weeks", "label.horizon: a duration is a number of days, hours or minutes, such as 28 days"),
        ("28 days", "0 days", "visits_2024.yaml:4: label.horizon: should be greater than 0"),
        ("{query: SELECT 1}", "{}", "visits_2024.yaml:3: spine: give either query or file"),
        ("{query: SELECT 1}", "{query: a, file: b}", "visits_2024.yaml:3: spine: give either query or file"),
        ("2024-06-01", "2024-04-01", r"split: test \(2024-04-01 00:00 -04:00\) must be after train \(2024-05-01"),
        ("2024-05-01,", "1714557600,", r"split.train.*: 1714557600 is neither a day \(2020-02-01\) nor a moment"),
        ("2024-05-01,", "'1714557600',", r"split.train.*: '1714557600' is neither a day \(2020-02-01\) nor a moment"),
        ("America/New_York", "Mars", "visits_2024.yaml:5: split.zone: 'Mars' is no time zone. Write one such as"),
        ("America/New_York", "localtime", "split.zone: 'localtime' is a name for no place's time"),
        ("feature_service:", "seed: 1\nseed: 2\nfeature_service:", "line 3, column 1: the key 'seed' stands twice"),
        ("feature_service:", "seed: true\nfeature_service:", "seed: should be a valid integer"),
        ("feature_service:", "seed: 1.0\nfeature_service:", "seed: should be a valid integer"),
        ("feature_service:", "seed: '7'\nfeature_service:", "seed: should be a valid integer"),
        ("feature_service:", "seed: 010\nfeature_service:", "line 2, column 7: 010 would be read as 8"),
        ("feature_service:", "sample: true\nfeature_service:", "sample: True is no share of the rows, such as 0.1"),
        ("feature_service:", "as_served: 1\nfeature_service:", "as_served: should be a valid boolean"),
        (
            "2024-06-01",
            "2024-06-01 09:00:00",
            "split.test: 2024-06-01 09:00:00 has no offset. Write it with one, such as 2024-06-01T09:00:00-05:00",
        ),
        (
            "28 days}",
            "28 days, known_until: 2024-06-20T00:00}",
            "label.known_until: 2024-06-20 00:00:00 has no offset",
        ),
        (
            "feature_service:",
            "sample: 1.5\nfeature_service:",
            "visits_2024.yaml:2: sample: should be less than or equal",
        ),
        ("feature_service:", "name: ../up\nfeature_service:", "visits_2024.yaml:2: name: .*should match pattern"),
        (
            WHOLE,
            "- 1",
            "visits_2024.yaml holds no keys. A dataset needs feature_service, spine, and for training label and split",
        ),
        (WHOLE, "a: [", "visits_2024.yaml: line 1, column 5: expected the node content"),
        ("2024-05-01,", "2024-02-30,", "visits_2024.yaml: line 5, column 16: day is out of range for month"),
    ],
)
def test_a_fault_is_named_with_its_file_and_key(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as raised:
        read(tmp_path, WHOLE.replace(old, new))
    assert all(line.startswith(f"{tmp_path}/visits_2024.yaml") for line in raised.value.message.splitlines())


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.yaml cannot be read: No such file"):
        read_config(tmp_path / "nowhere.yaml")
