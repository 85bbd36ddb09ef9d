"""Every bit of a dataset's files counts: one that flips is found, in splits, manifest, spine and checksums."""

import random
from pathlib import Path

import pytest

from tests.transformations.datasets.conftest import World
from transformations.datasets.create import examine_datasets


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
            (found,) = examine_datasets(folder.parent)
            is_told = any(str(folder) in fault for fault in found.faults) or found.unrecorded
            assert is_told, file
            file.write_bytes(whole)
    (found,) = examine_datasets(folder.parent)
    assert (found.faults, found.unrecorded, found.files) == ([], 0, 3)


def test_a_lost_or_shortened_file_is_named(folder: Path) -> None:
    for name in ("train.parquet", "manifest.json"):
        file = folder / name
        whole = file.read_bytes()
        file.chmod(0o600)
        for content in (whole[:-1], b""):
            file.write_bytes(content)
            (found,) = examine_datasets(folder.parent)
            assert any(str(file) in fault for fault in found.faults)
        file.unlink()
        (found,) = examine_datasets(folder.parent)
        assert any(name in fault and str(folder) in fault for fault in found.faults)
        file.write_bytes(whole)
