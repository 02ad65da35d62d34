"""What is on a disk comes back from a backup, byte for byte and attribute for attribute."""

import io
import random
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploy.mover import archive
from tests.backup.conftest import MIB, Volumes, device_folder
from tests.backup.files import allocated, grow, look
from tests.backup.mover import Mover
from tests.contract import raw
from tests.contract.host import run

HOLES = {"ext4": (4 << 30) + 12345, "xfs": 300 * MIB, "btrfs": 300 * MIB}
"""Where in the sparse file data comes after the hole. Beyond 32 bits takes restic long."""


@pytest.fixture(params=HOLES)
def filesystem(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def tree(volumes: Volumes, filesystem: str) -> Path:
    root = volumes.filesystem(filesystem)
    grow(root, HOLES[filesystem])
    return root


def assert_same(tree: Path, again: Path) -> None:
    was, found = look(tree), look(again)
    assert found.keys() == was.keys()
    for path, entry in was.items():
        assert found[path] == entry, path
    assert allocated(again / "sparse") <= allocated(tree / "sparse") + 2 * MIB
    assert not (again / "folder/socket").exists()


def test_into_a_file_and_back(
    volumes: Volumes, tree: Path, filesystem: str, mover: Mover, tmp_path: Path
) -> None:
    file, again = tmp_path / "pgdata.miren", volumes.filesystem(filesystem)
    written = mover.write(tree, file, filesystem=filesystem)
    assert written.notes == ["folder/socket is a socket, which no backup keeps"]
    assert written.result["stored"] == file.stat().st_size
    assert written.result["checksum"] == archive.verify(file).stored.checksum
    assert archive.about(file).filesystem == filesystem
    read = mover.read(again, file)
    assert read.result["checksum"] == written.result["checksum"]
    assert read.result["files"] == written.result["files"]
    assert_same(tree, again)


def test_into_a_repository_and_back(
    volumes: Volumes, tree: Path, filesystem: str, no_repository: Mover
) -> None:
    again = volumes.filesystem(filesystem)
    made = no_repository.backup(tree, filesystem=filesystem)
    assert "folder/socket is a socket, which no backup keeps" in made.notes
    restored = no_repository.run(again, "restore", "--backup", made.result["backup"])
    assert restored.result["filesystem"] == filesystem
    assert restored.result["files"] == made.result["files"]
    assert_same(tree, again)


def test_to_another_filesystem(volumes: Volumes, mover: Mover, tmp_path: Path) -> None:
    tree, again = volumes.filesystem("ext4"), volumes.filesystem("btrfs")
    grow(tree, 5 * MIB)
    mover.write(tree, tmp_path / "file")
    mover.read(again, tmp_path / "file")
    assert_same(tree, again)


def test_into_an_s3_bucket_and_back(folder: Callable[[str], Path], bucket: Mover) -> None:
    tree, again = folder("tree"), folder("again")
    grow(tree, 5 * MIB)
    made = bucket.backup(tree).result
    (listed,) = bucket.listed(tree)
    assert (listed["backup"], listed["disk"], listed["size"]) == (made["backup"], "pgdata", 1 << 30)
    assert listed["time"] == "2026-11-26T12:00:00Z"
    assert listed["bytes"] == made["bytes"]
    assert bucket.run(again, "check", "--read-data").result == {"backups": 1, "readData": True}
    bucket.run(again, "restore", "--backup", made["backup"])
    assert_same(tree, again)


def test_by_hand(folder: Callable[[str], Path], mover: Mover, tmp_path: Path) -> None:
    """With what every system has, and no miren-csi."""
    tree, pieces, again = folder("tree"), folder("pieces"), folder("again")
    grow(tree, 5 * MIB)
    file = tmp_path / "pgdata.miren"
    mover.write(tree, file)
    run("tar", "-x", "-C", pieces, "-f", file)
    checked = subprocess.run(
        ["sha256sum", "-c", "SHA256SUMS"], cwd=pieces, check=True, capture_output=True
    )
    assert checked.stdout.count(b": OK\n") == len(list(pieces.iterdir())) - 1
    command = (
        "tar -xOf $0 --wildcards 'data.*' | zstd -d | tar -x --xattrs --xattrs-include='*' -C $1"
    )
    subprocess.run(["sh", "-c", command, file, again], check=True)
    assert_same(tree, again)
    assert owners_by_name(file) == set()


def owners_by_name(file: Path) -> set[str]:
    """Names that would mean other numbers where a backup is restored."""
    command = "tar -xOf $0 --wildcards 'data.*' | zstd -d"
    inner = subprocess.run(["sh", "-c", command, file], check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(inner)) as tar:
        return {name for member in tar for name in (member.uname, member.gname) if name}


@pytest.fixture
def raw_disk(volumes: Volumes, folder: Callable[[str], Path]) -> tuple[Path, Path]:
    """A device with data here and there, and the folder that has it."""
    device = volumes.device(64 * MIB)
    for at in (0, 1, 17 * MIB + 5, 64 * MIB - 70000):
        raw.write(device, at, random.Random(at).randbytes(70000))
    return device, device_folder(folder("raw"), device)


@pytest.fixture
def empty_disk(volumes: Volumes, folder: Callable[[str], Path]) -> tuple[Path, Path]:
    device = volumes.device(65 * MIB)
    return device, device_folder(folder("empty"), device)


def assert_same_device(device: Path, again: Path, image: Path) -> None:
    assert raw.read(again, 0, 64 * MIB) == raw.read(device, 0, 64 * MIB)
    run("sync", image)
    assert allocated(image) <= 6 * MIB


def test_a_raw_device_into_a_file_and_back(
    raw_disk: tuple[Path, Path], empty_disk: tuple[Path, Path], mover: Mover, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    written = mover.write(raw_disk[1], file, "--block", mode="block", size=64 * MIB)
    assert written.result["bytes"] == 64 * MIB
    assert written.result["stored"] < MIB
    assert mover.read(empty_disk[1], file, "--block").result["about"]["mode"] == "block"
    assert_same_device(raw_disk[0], empty_disk[0], tmp_path / "volume-1.img")
    by_hand = tmp_path / "disk.img"
    command = "tar -xOf $0 --wildcards 'data.*' | zstd -d -o $1"
    subprocess.run(["sh", "-c", command, file, by_hand], check=True)
    assert by_hand.read_bytes() == raw.read(raw_disk[0], 0, 64 * MIB)


def test_a_raw_device_into_a_repository_and_back(
    raw_disk: tuple[Path, Path], empty_disk: tuple[Path, Path], repository: Mover, tmp_path: Path
) -> None:
    made = repository.backup(raw_disk[1], "--block", mode="block", filesystem="")
    assert made.result["bytes"] == 64 * MIB
    words = ("restore", "--block", "--backup", made.result["backup"])
    assert repository.run(empty_disk[1], *words).result["bytes"] == 64 * MIB
    assert_same_device(raw_disk[0], empty_disk[0], tmp_path / "volume-1.img")


def test_a_raw_device_that_has_grown_is_as_large_as_it_is(
    raw_disk: tuple[Path, Path], repository: Mover, tmp_path: Path
) -> None:
    """Its PersistentVolume may not tell yet, and what comes back must have room."""
    told: dict[str, Any] = {"mode": "block", "filesystem": "", "size": 32 * MIB}
    file = tmp_path / "file"

    repository.write(raw_disk[1], file, "--block", **told)
    repository.backup(raw_disk[1], "--block", **told)

    assert archive.about(file).size == 64 * MIB
    assert [one["size"] for one in repository.listed(raw_disk[1])] == [64 * MIB]


def test_what_is_not_like_the_backup_is_left_alone(
    raw_disk: tuple[Path, Path],
    volumes: Volumes,
    folder: Callable[[str], Path],
    mover: Mover,
    tmp_path: Path,
) -> None:
    file, small = tmp_path / "file", volumes.device(63 * MIB)
    mover.write(raw_disk[1], file, "--block", mode="block")
    assert "restore it to a disk like that" in mover.read(folder("tree"), file).failure
    assert "holds data already" in mover.read(raw_disk[1], file, "--block").failure
    smaller = mover.read(device_folder(folder("smaller"), small), file, "--block").failure
    assert f"the disk has {63 * MIB} bytes, and the backup is of a larger one" in smaller


def test_a_disk_that_holds_anything_is_left_alone(
    volumes: Volumes, folder: Callable[[str], Path], repository: Mover, tmp_path: Path
) -> None:
    tree, used = folder("tree"), volumes.filesystem("ext4")
    (tree / "file").write_text("data")
    file = tmp_path / "file"
    repository.write(tree, file)
    backup = repository.backup(tree).result["backup"]
    (used / "lost+found/#12").write_text("found again")
    for where in ("lost+found/#12", "mine"):
        for said in (
            repository.read(used, file),
            repository.run(used, "restore", "--backup", backup),
        ):
            assert "to an empty disk only" in said.failure
        assert [path.name for path in used.rglob("*") if path.is_file()] == [Path(where).name]
        (used / where).unlink()
        (used / "mine").write_text("new data")
