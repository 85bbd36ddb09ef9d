"""The archive of our packages is enough for a Python that has the libraries and nothing of ours."""

import subprocess
import sys
import sysconfig
from pathlib import Path
from zipfile import ZipFile

import transformations
from transformations.engine.launch.shipping import zipped_packages


def test_a_python_without_us_imports_the_job_from_the_archive(tmp_path: Path) -> None:
    archive = zipped_packages(tmp_path)
    program = f"import sys; sys.path[:0] = {[str(archive), sysconfig.get_path('purelib')]!r}; "
    program += "import transformations.engine.compute.job as job, transformations.contracts as contracts; "
    program += "print(job.__file__, contracts.__file__)"
    done = subprocess.run(
        [sys.executable, "-S", "-P", "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert [Path(file).relative_to(archive).as_posix() for file in done.stdout.split()] == [
        "transformations/engine/compute/job.py",
        "transformations/contracts/__init__.py",
    ]


def test_the_archive_is_named_by_its_content(tmp_path: Path) -> None:
    first, again = zipped_packages(tmp_path), zipped_packages(tmp_path)
    assert first == again
    assert list(tmp_path.iterdir()) == [first]


def test_a_domain_file_from_a_further_folder_of_the_package_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "domains").mkdir()
    (tmp_path / "domains" / "clicking.py").write_text("MEANING = 1\n")
    transformations.__path__.append(str(tmp_path / "domains"))
    try:
        names = ZipFile(zipped_packages(tmp_path)).namelist()
    finally:
        transformations.__path__.remove(str(tmp_path / "domains"))
    assert "transformations/clicking.py" in names
    assert "transformations/engine/compute/sweep.py" in names
    assert not [name for name in names if "__pycache__" in name]
