"""Every bit of a dataset's files counts: one that flips is found, in splits, manifest, spine and checksums."""

import random
from pathlib import Path

import pytest

from tests.transformations.datasets.conftest import World
from transformations.datasets.create import examine_datasets
from transformations.engine.base.errors import DamagedError
from transformations.engine.base.settings import get_settings


def flip(file: Path, chosen: random.Random) -> None:
    """One bit of a file, anywhere in it."""
    content = bytearray(file.read_bytes())
    content[chosen.randrange(len(content))] ^= 1 << chosen.randrange(8)
    file.chmod(0o600)
    file.write_bytes(content)


@pytest.fixture
def folder(world: World, tmp_path: Path) -> Path:
    world.create()
    return world.folder


def test_a_flipped_bit_is_found_in_every_file(folder: Path) -> None:
    chosen = random.Random(7)
    files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    assert [file.name for file in files] == ["SHA256SUMS", "manifest.json", "test.parquet", "train.parquet"]
    for file in files:
        whole = file.read_bytes()
        for _ in range(24):
            flip(file, chosen)
            (found,) = examine_datasets(get_settings())
            is_told = any(str(folder) in fault for fault in found.faults) or found.unrecorded
            assert is_told, file
            file.write_bytes(whole)
    (found,) = examine_datasets(get_settings())
    assert (found.faults, found.unrecorded, found.files) == ([], 0, 3)


def test_a_lost_or_shortened_file_is_named(folder: Path) -> None:
    for name in ("train.parquet", "manifest.json"):
        file = folder / name
        whole = file.read_bytes()
        file.chmod(0o600)
        for content in (whole[:-1], b""):
            file.write_bytes(content)
            (found,) = examine_datasets(get_settings())
            assert any(str(file) in fault for fault in found.faults)
        file.unlink()
        (found,) = examine_datasets(get_settings())
        assert any(name in fault and str(folder) in fault for fault in found.faults)
        file.write_bytes(whole)


def test_training_does_not_read_a_dataset_that_lost_or_changed_a_split(folder: Path, world: World) -> None:
    def read() -> object:
        return world.store.get_saved_dataset("visits_2024").to_df()

    file = folder / "test.parquet"
    whole = file.read_bytes()
    file.unlink()
    with pytest.raises(DamagedError, match=f"^{file} is missing"):
        read()
    file.mkdir()
    with pytest.raises(DamagedError, match=f"^{file} is missing"):
        read()
    file.rmdir()
    for place in range(0, len(whole) * 8, 997):
        flipped = bytearray(whole)
        flipped[place // 8] ^= 1 << place % 8
        file.write_bytes(flipped)
        with pytest.raises(DamagedError, match=f"^{file} is damaged"):
            read()
    file.write_bytes(whole)
    sums = folder / "SHA256SUMS"
    sums.chmod(0o600)
    sums.write_text(sums.read_text().replace("  test.parquet", "  tesu.parquet"))
    with pytest.raises(
        DamagedError, match=f"^{sums} is damaged: it names tesu.parquet, which is not there, and not te"
    ):
        read()


def test_a_version_that_a_dataset_pins_and_that_is_lost_is_a_fault_of_the_dataset(folder: Path, world: World) -> None:
    world.table.path.rename(world.table.path.with_name("away"))

    (found,) = examine_datasets(get_settings())
    (fault,) = found.faults
    assert fault.startswith("it pins version 0 of user_spend: offline table user_spend has no version 0")
    assert str(world.table.path) in fault
