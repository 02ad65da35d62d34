"""What somebody has done to a repository with restic: nothing is restored as if it were whole."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.backup.conftest import MIB, packs
from tests.backup.files import look
from tests.backup.mover import Mover

Folder = Callable[[str], Path]
Restic = Callable[..., None]

MORNING, NOON = "2026-11-26T10:00:00Z", "2026-11-26T12:00:00Z"
KEEP_ONE = ("prune", "--disk=pgdata", "--keep-last=1")


@pytest.fixture
def disk(folder: Folder) -> Path:
    """A disk with a file, a hard link to it, and a symbolic link."""
    root = folder("disk")
    (root / "file").write_bytes(os.urandom(MIB))
    os.link(root / "file", root / "again")
    (root / "link").symlink_to("again")
    return root


@pytest.fixture
def repaired(disk: Path, repository: Mover, restic: Restic, tmp_path: Path) -> tuple[str, str]:
    """Two backups, of which the second had one more file that its owner could not repair."""
    good = repository.backup(disk, time=MORNING).result["backup"]
    before = packs(tmp_path / "repository")
    (disk / "new").write_bytes(os.urandom(2 * MIB))
    repository.backup(disk, time=NOON)
    later = [pack for pack in packs(tmp_path / "repository") if pack not in before]
    max(later, key=lambda pack: pack.stat().st_size).unlink()
    restic("repair", "index")
    restic("repair", "snapshots", "--forget")
    _, lacking = (one["backup"] for one in repository.listed(disk))
    return good, lacking


def assert_given_out(restic: Restic, file: Path, empty: Path) -> None:
    """restic itself has the newest backup, and a file of it."""
    restic("restore", "latest", "--target", str(empty))
    assert (empty / "disk" / file.name).read_bytes() == file.read_bytes()


def test_a_repaired_backup_is_not_restored_as_if_it_were_whole(
    repaired: tuple[str, str], disk: Path, repository: Mover, folder: Folder
) -> None:
    _, lacking = repaired
    empty = folder("empty")

    failure = repository.run(empty, "restore", "--backup", lacking).failure

    why = f"backup {lacking} is not as it was stored, so it cannot be restored: of 3 files with "
    assert why in failure
    assert not list(empty.iterdir())
    assert why in repository.run(disk, "check").failure


def test_a_repaired_backup_is_not_kept_instead_of_a_good_one(
    repaired: tuple[str, str], disk: Path, repository: Mover, restic: Restic, folder: Folder
) -> None:
    good, _ = repaired

    pruned = repository.run(disk, *KEEP_ONE).result

    assert pruned == {"kept": [good], "removed": []}
    assert [one["backup"] for one in repository.listed(disk)] == [good]
    assert repository.run(disk, "check").result["backups"] == 1
    assert_given_out(restic, disk / "file", folder("left"))


def test_what_its_owner_has_left_out_of_a_backup_is_no_backup_and_stays(
    disk: Path, repository: Mover, restic: Restic, folder: Folder
) -> None:
    repository.backup(disk, time=MORNING)
    restic("rewrite", "--exclude=again", "--forget")

    assert repository.listed(disk) == []
    assert repository.run(disk, *KEEP_ONE).result == {"kept": [], "removed": []}
    assert_given_out(restic, disk / "file", folder("left"))


def test_a_backup_with_another_tag_is_as_good_as_before(
    disk: Path, repository: Mover, restic: Restic, folder: Folder
) -> None:
    repository.backup(disk, time=MORNING)
    restic("tag", "--add=before-the-move")
    [tagged] = repository.listed(disk)
    again = folder("again")

    restored = repository.run(again, "restore", "--backup", tagged["backup"]).result

    assert restored["files"] == tagged["files"]
    assert look(again) == look(disk)
    assert repository.run(disk, "check").result["backups"] == 1
    assert repository.run(disk, *KEEP_ONE).result["kept"] == [tagged["backup"]]
