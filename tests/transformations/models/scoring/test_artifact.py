"""An artifact is read as it was written, or not at all; reading it loads nothing that only training needs."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.worlds.returns import facts, trained
from transformations.engine.base.errors import DataError, UsageError
from transformations.models.fitting.publishing import dead_runs, remove_run, running, write_artifact
from transformations.models.records.artifact import FILE
from transformations.models.scoring.artifact import read_artifact, read_reference
from transformations.models.trainers.interface import trainer_of

FILES = ("model.ubj", "transformations.json", "reference.json")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = trained()
    write_artifact(tmp_path / "run1", made, facts(made))
    return tmp_path / "run1"


def test_a_run_is_a_folder_of_its_own_that_nobody_writes_again(folder: Path) -> None:
    assert sorted(file.name for file in folder.iterdir()) == sorted([FILE, "SHA256SUMS", *FILES])
    assert [file.stat().st_mode & 0o222 for file in folder.iterdir()] == [0] * 5
    assert [each.name for each in folder.parent.iterdir()] == ["run1"]


@pytest.mark.parametrize("name", FILES)
def test_a_tampered_file_is_refused(folder: Path, name: str) -> None:
    file = folder / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.chmod(0o640)
    file.write_bytes(content)

    with pytest.raises(DataError, match=rf"{name} is not what was trained: its SHA-256 is .* the manifest says"):
        read_artifact(folder)


def test_a_tampered_manifest_is_refused(folder: Path) -> None:
    file = folder / FILE
    file.chmod(0o640)
    file.write_text(file.read_text().replace('"trainer": "xgboost"', '"trainer": "lightgbm"', 1))

    with pytest.raises(DataError, match="id is not the hash of scores"):
        read_artifact(folder)


def test_a_folder_that_lacks_a_file_is_no_artifact(folder: Path) -> None:
    (folder / "model.ubj").unlink()
    with pytest.raises(DataError, match=r"model\.ubj is missing, so .* is no whole artifact"):
        read_artifact(folder)
    with pytest.raises(DataError, match=r"manifest\.json is missing"):
        read_artifact(folder.parent)


def test_the_same_files_have_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    made = trained()
    write_artifact(tmp_path / "run2", made, facts(made, run_id="run2", code_revision="other"))

    assert [(folder / name).read_bytes() for name in FILES] == [
        (tmp_path / "run2" / name).read_bytes() for name in FILES
    ]
    assert read_artifact(folder).id == read_artifact(tmp_path / "run2").id


def test_the_reference_counts_every_row_of_the_train_split(folder: Path) -> None:
    assert '"rows": 400' in read_reference(folder)


def test_a_killed_run_is_told_apart_and_removed(tmp_path: Path) -> None:
    made = trained()
    with running(tmp_path / "alive"):
        (tmp_path / ".dead.lock").touch()
        (tmp_path / ".dead-0a.unfinished").mkdir()
        write_artifact(tmp_path / "dead", made, facts(made))

        assert dead_runs(tmp_path) == ["dead"]
        remove_run(tmp_path / "dead")
        assert [each.name for each in tmp_path.iterdir()] == [".alive.lock"]
    assert list(tmp_path.iterdir()) == []


def test_reading_and_scoring_load_nothing_that_only_training_needs(tmp_path: Path) -> None:
    made = trained("logistic", calibration="isotonic")
    write_artifact(tmp_path / "run1", made, facts(made))
    code = f"""
import sys
from pathlib import Path
import pyarrow as pa
from transformations.models.scoring.artifact import read_artifact
from transformations.models.scoring.predict import predict
artifact = read_artifact(Path({str(tmp_path / "run1")!r}))
heavy = ["mlflow", "duckdb", "sklearn", "pyspark", "deltalake", "xgboost", "lightgbm", "feast"]
print([name for name in [*heavy, "pandas"] if name in sys.modules])
# pyarrow (26) itself imports pandas, where it is installed, when it first makes or hands out an array.
predict(artifact, pa.table({{column.name: pa.nulls(1) for column in artifact.manifest.scores.inputs}}))
print([name for name in heavy if name in sys.modules])
"""
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert printed == "[]\n[]\n"


def test_a_trainer_of_no_name_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="no trainer 'xgbost'; did you mean 'xgboost'"):
        trainer_of("xgbost")
    with pytest.raises(UsageError, match="there is no module 'nowhere'"):
        trainer_of("nowhere:trainer")
    with pytest.raises(UsageError, match="path of os is no Trainer"):
        trainer_of("os:path")
    for name in (":", "os:", "a b:trainer", ".relative:trainer"):
        with pytest.raises(UsageError, match="no trainer"):
            trainer_of(name)
    monkeypatch.syspath_prepend(tmp_path)
    for module, code in (("no_syntax", "def fit(:"), ("no_import", "from os import nothing"), ("no_luck", "1 / 0")):
        (tmp_path / f"{module}.py").write_text(code)
        with pytest.raises(UsageError, match=f"module {module} cannot be imported: .*Error: .*Correct it there"):
            trainer_of(f"{module}:trainer")
