"""Of a raw device whose changes are known only these are read, and all of it comes back."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from deploy.mover.part_files import Shown, mounted
from deploy.mover.parts import PART, Changes, Ranges
from tests.backup.conftest import MIB, Volumes, device_folder, packs
from tests.backup.mover import Line, Mover, said
from tests.cluster.programs import go_program
from tests.contract import raw

PARTS = 25
SIZE = PARTS * PART - MIB
"""The last part is a shorter one."""
WRITTEN = ((0, 2), (7, 8), (PARTS - 1, PARTS))


class Disk:
    """A raw device that is backed up."""

    def __init__(self, device: Path, folder: Path, mover: Mover) -> None:
        self.device = device
        self.folder = folder
        self.mover = mover

    def write(self, part: int, seed: int = 0) -> None:
        """Fill a part with noise."""
        length = min(PART, SIZE - part * PART)
        raw.write(self.device, part * PART, Random(f"{part} {seed}").randbytes(length))

    def content(self) -> bytes:
        return raw.read(self.device, 0, SIZE)

    def words(self, copy: str, written: Ranges, since: dict[str, Ranges]) -> tuple[str, ...]:
        return ("--block", "--changes", Changes(copy, written, since).to_json())

    def backup(self, copy: str, written: Ranges = WRITTEN, **since: Ranges) -> Line:
        """Back it up, and return what the mover says of it."""
        about: dict[str, Any] = {"mode": "block", "filesystem": "", "size": SIZE}
        words = self.words(copy, written, since)
        return self.mover.backup(self.folder, *words, **about).result

    def restored(self, backup: str, volumes: Volumes, folder: Path, size: int = SIZE) -> bytes:
        """What a new device has when a backup is restored to it."""
        folder.mkdir()
        device = volumes.device(size)
        words = ("restore", "--block", "--backup", backup)
        assert self.mover.run(device_folder(folder, device), *words).result["bytes"] == size
        return raw.read(device, 0, size)


@pytest.fixture
def disk(volumes: Volumes, folder: Callable[[str], Path], repository: Mover) -> Disk:
    """A device that has data in four parts."""
    device = volumes.device(SIZE)
    made = Disk(device, device_folder(folder("raw"), device), repository)
    for part in (0, 1, 7, PARTS - 1):
        made.write(part)
    return made


def test_what_was_never_written_is_not_read(disk: Disk, volumes: Volumes, tmp_path: Path) -> None:
    made = disk.backup("monday")

    assert made["bytes"] == made["read"] == 4 * PART - MIB
    assert "since" not in made
    (listed,) = disk.mover.listed(disk.folder)
    assert (listed["mode"], listed["size"], listed["files"]) == ("block", SIZE, 4)
    assert disk.restored(made["backup"], volumes, tmp_path / "again") == disk.content()


def test_only_what_has_changed_is_read(disk: Disk, volumes: Volumes, tmp_path: Path) -> None:
    first = disk.backup("monday")
    monday = disk.content()
    disk.write(1, seed=1)
    disk.write(12)

    second = disk.backup("tuesday", (*WRITTEN, (12, 13)), monday=[(1, 2), (12, 13)], sunday=WRITTEN)

    assert (second["since"], second["read"]) == (first["backup"], 2 * PART)
    assert second["bytes"] == 5 * PART - MIB
    assert 2 * PART <= second["added"] < 2 * PART + MIB
    assert disk.restored(second["backup"], volumes, tmp_path / "new") == disk.content()
    assert disk.restored(first["backup"], volumes, tmp_path / "old") == monday
    assert disk.mover.run(disk.folder, "check", "--read-data").result["backups"] == 2


def test_changes_are_told_once_and_last(disk: Disk, volumes: Volumes, tmp_path: Path) -> None:
    """The third backup takes from the second what that has taken from the first."""
    disk.backup("monday")
    disk.write(1, seed=1)
    tuesday = disk.backup("tuesday", monday=[(1, 2)])
    disk.write(7, seed=1)

    wednesday = disk.backup("wednesday", monday=[(1, 2), (7, 8)], tuesday=[(7, 8)])

    assert (wednesday["since"], wednesday["read"]) == (tuesday["backup"], PART)
    assert disk.restored(wednesday["backup"], volumes, tmp_path / "again") == disk.content()


def test_nothing_is_taken_from_a_backup_since_which_nobody_knows_what_has_changed(
    disk: Disk, volumes: Volumes, tmp_path: Path
) -> None:
    """restic itself would take the disk's last backup."""
    disk.backup("monday")
    for part in (0, 1, 7, PARTS - 1):
        disk.write(part, seed=1)

    second = disk.backup("tuesday", sunday=[])

    assert "since" not in second
    assert second["read"] == second["bytes"]
    assert disk.restored(second["backup"], volumes, tmp_path / "again") == disk.content()


def test_nothing_is_taken_from_another_disk(disk: Disk) -> None:
    about: dict[str, Any] = {"mode": "block", "filesystem": "", "size": SIZE, "disk": "other"}
    disk.mover.backup(disk.folder, *disk.words("monday", WRITTEN, {}), **about)

    assert "since" not in disk.backup("tuesday", monday=[])


def test_what_was_given_back_reads_as_zeros(disk: Disk, volumes: Volumes, tmp_path: Path) -> None:
    disk.backup("monday")
    raw.write(disk.device, 0, bytes(2 * PART))  # as a device does that discards

    second = disk.backup("tuesday", [(7, 8), (PARTS - 1, PARTS)], monday=[(0, 2)])

    assert (second["read"], second["bytes"]) == (0, 2 * PART - MIB)
    assert disk.restored(second["backup"], volumes, tmp_path / "again") == disk.content()


def test_a_device_on_which_nothing_was_written(
    volumes: Volumes, folder: Callable[[str], Path], repository: Mover, tmp_path: Path
) -> None:
    device = volumes.device(SIZE)
    empty = Disk(device, device_folder(folder("raw"), device), repository)

    made = empty.backup("monday", [])

    assert made["bytes"] == 0
    assert empty.restored(made["backup"], volumes, tmp_path / "again") == bytes(SIZE)


def test_a_part_that_cannot_be_read(disk: Disk, tmp_path: Path) -> None:
    with (tmp_path / "volume-0.img").open("r+b") as image:
        image.truncate(7 * PART)

    words = disk.words("monday", WRITTEN, {})
    failure = disk.mover.backup(disk.folder, *words, mode="block", filesystem="").failure

    assert "could not be read, so nothing is kept of this backup" in failure
    assert disk.mover.listed(disk.folder) == []


def test_a_server_of_parts_that_dies_leaves_no_backup(disk: Disk, tmp_path: Path) -> None:
    """A fake restic kills it just before the real one begins."""
    programs = tmp_path / "killing"
    programs.mkdir()
    kills = "case \" $* \" in *' backup '*) pkill -KILL -s 0 -f part_server;; esac"
    (programs / "restic").write_text(f'#!/bin/sh\n{kills}\nexec {go_program("restic")} "$@"\n')
    (programs / "restic").chmod(0o755)
    killing = Mover(programs).at(tmp_path / "repository")

    words = disk.words("monday", WRITTEN, {})
    failure = killing.backup(disk.folder, *words, mode="block", filesystem="").failure

    assert "could not be read" in failure
    assert disk.mover.listed(disk.folder) == []


def test_nothing_runs_afterwards(disk: Disk) -> None:
    words = disk.words("monday", WRITTEN, {})
    running = disk.mover.start(disk.folder, "backup", *words, said(mode="block", filesystem=""))
    assert running.finish().result["files"] == 4

    assert running.command_lines() == []


def test_a_device_that_has_grown(disk: Disk, volumes: Volumes, tmp_path: Path) -> None:
    """The last part, a short one, is longer now, though nothing in it has changed."""
    first = disk.backup("monday")
    os.truncate(tmp_path / "volume-0.img", PARTS * PART)
    subprocess.run(["losetup", "--set-capacity", disk.device], check=True)

    second = disk.backup("tuesday", monday=[])

    assert (second["since"], second["read"]) == (first["backup"], PART)
    listed = {one["backup"]: one["size"] for one in disk.mover.listed(disk.folder)}
    assert listed == {first["backup"]: SIZE, second["backup"]: PARTS * PART}
    again = disk.restored(second["backup"], volumes, tmp_path / "again", PARTS * PART)
    assert again == raw.read(disk.device, 0, PARTS * PART)


@pytest.fixture
def damaged(disk: Disk, restic: Callable[..., None], tmp_path: Path) -> None:
    """Two backups in a repository that has lost what the first has stored, and knows it."""
    disk.backup("monday")
    before = packs(tmp_path / "repository")
    disk.write(1, seed=1)
    disk.backup("tuesday", monday=[(1, 2)])
    for pack in before:
        pack.unlink()
    restic("repair", "index")


@pytest.mark.usefixtures("damaged")
def test_what_a_damaged_backup_lacks_is_read_again(
    disk: Disk, volumes: Volumes, tmp_path: Path
) -> None:
    about: dict[str, Any] = {"mode": "block", "filesystem": "", "size": SIZE}

    words = disk.words("wednesday", WRITTEN, {"tuesday": []})
    again = disk.mover.backup(disk.folder, *words, **about)

    assert any("all of the disk is read, as backup " in note for note in again.notes)
    backup = again.result["backup"]
    assert disk.restored(backup, volumes, tmp_path / "again") == disk.content()


@pytest.mark.usefixtures("damaged")
def test_what_was_repaired_away_is_not_restored_as_if_it_were_whole(
    disk: Disk, restic: Callable[..., None], volumes: Volumes, folder: Callable[[str], Path]
) -> None:
    """restic keeps what the snapshot says of itself, though it has less by now."""
    restic("repair", "snapshots", "--forget")
    empty = device_folder(folder("empty"), volumes.device(SIZE))

    [tuesday] = disk.mover.listed(disk.folder)
    words = ("restore", "--block", "--backup", tuesday["backup"])
    failure = disk.mover.run(empty, *words).failure
    assert "is not as it was stored, so it cannot be restored: " in failure


def test_a_folder_of_parts_is_the_same_in_each_backup(disk: Disk, tmp_path: Path) -> None:
    """Else restic would store the lists of all anew when one is added."""
    mount = tmp_path / "mount"
    mount.mkdir()

    def inodes(*parts: int) -> dict[str, int]:
        with mounted(disk.device, mount, Shown(SIZE, PART, dict.fromkeys(parts, 1))):
            return {path.name: path.stat().st_ino for path in mount.rglob("*")}

    before, after = inodes(1, 7), inodes(0, 1, 7)
    assert len(after) == 4
    assert before == {name: after[name] for name in before}


def test_changes_are_those_of_a_device(disk: Disk) -> None:
    words = disk.words("monday", WRITTEN, {})[1:]
    assert "go with --block" in disk.mover.backup(disk.folder, *words).failure


def test_by_hand(disk: Disk, restic: Callable[..., None], tmp_path: Path) -> None:
    """With restic, and no miren-csi: docs/backup.md."""
    made = disk.backup("monday")
    joins = f"""\
shopt -s nullglob
for part in parts/device/*/*; do
    dd if=$part of=disk.img bs=4M seek=$((10#${{part##*/}})) conv=notrunc,sparse
done
truncate -s {SIZE} disk.img
"""

    restic("restore", made["backup"], "--target", "parts")
    subprocess.run(["bash", "-euc", joins], cwd=tmp_path, check=True)

    assert (tmp_path / "disk.img").read_bytes() == disk.content()
