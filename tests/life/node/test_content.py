"""What is on a disk already decides what may be done to it: never a lost byte."""

import hashlib
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from csi.disk import MIB, Content
from csi.errors import DiskInUse, ForeignData, Refused
from node.filesystems import FILESYSTEMS
from node.staging import Staging
from tests.life.host import Host
from tests.life.node.conftest import BLOCK, READER, WRITER
from tests.life.node.loop_disks import SIZE, LoopDisks

pytestmark = pytest.mark.loop_only

each_filesystem = pytest.mark.parametrize("filesystem", ["ext4", "xfs", "btrfs"])


def digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@each_filesystem
@pytest.mark.parametrize("written", [4096, 128 << 10, MIB, 40 * MIB])
def test_an_mkfs_killed_in_the_middle_is_done_again(
    disks: LoopDisks, staging: Staging, stage: Path, filesystem: str, written: int
) -> None:
    disks.create("rehearsal", filesystem)
    FILESYSTEMS[filesystem].make(disks.file("rehearsal"))
    disks.create("pgdata", filesystem)
    _put(disks.file("pgdata"), _get(disks.file("rehearsal"), written))

    staging.stage("pgdata", stage, WRITER)

    (stage / "order").write_text("first")
    assert disks.get("pgdata").content is Content.FORMATTED


@each_filesystem
def test_a_kill_between_mkfs_and_its_record_is_healed(
    disks: LoopDisks, staging: Staging, stage: Path, filesystem: str
) -> None:
    disks.create("pgdata", filesystem)
    FILESYSTEMS[filesystem].make(disks.file("pgdata"))

    staging.stage("pgdata", stage, WRITER)

    (stage / "order").write_text("first")


def test_a_mounted_disk_is_not_formatted_whatever_the_record_says(
    disks: LoopDisks, staging: Staging, stage: Path, tmp_path: Path
) -> None:
    disks.create("pgdata")
    staging.stage("pgdata", stage, WRITER)
    (stage / "order").write_text("first")
    disks.change(replace(disks.get("pgdata"), content=Content.PENDING))

    with pytest.raises(DiskInUse):
        staging.stage("pgdata", tmp_path / "other", WRITER)

    assert (stage / "order").read_text() == "first"


@each_filesystem
def test_a_formatted_disk_that_lost_its_filesystem_is_left_alone(
    disks: LoopDisks, staging: Staging, stage: Path, host: Host, filesystem: str
) -> None:
    disks.create("pgdata", filesystem)
    staging.stage("pgdata", stage, WRITER)
    (stage / "order").write_text("first")
    staging.unstage("pgdata", stage)
    _put(disks.file("pgdata"), bytes(MIB))
    before = digest(disks.file("pgdata"))

    with pytest.raises(Refused, match=f'"pgdata" was formatted as {filesystem}, but there is no'):
        staging.stage("pgdata", stage, WRITER)

    assert digest(disks.file("pgdata")) == before
    assert host.loop_devices() == []


def _partition_table(file: Path) -> None:
    entry = bytes((0, 0, 1, 1, 0x83, 0, 1, 1)) + (2048).to_bytes(4, "little")
    table = entry + (2048).to_bytes(4, "little") + bytes(48)
    _put(file, bytes(440) + b"disk\0\0" + table + b"\x55\xaa")


def _xfs(file: Path) -> None:
    FILESYSTEMS["xfs"].make(file)


def _two_filesystems(file: Path) -> None:
    FILESYSTEMS["btrfs"].make(file)
    btrfs = _get(file, 128 << 10)[64 << 10 :]
    FILESYSTEMS["ext4"].make(file)
    _put(file, btrfs, at=64 << 10)


def _swap(file: Path) -> None:
    subprocess.run(["mkswap", file], stdout=subprocess.DEVNULL, check=True)


def _bytes_at_the_start(file: Path) -> None:
    _put(file, b"an application's own format")


def _bytes_at_the_end(file: Path) -> None:
    _put(file, b"an application's own format", at=SIZE - 512)


@pytest.mark.parametrize(
    ("write", "named"),
    [
        (_partition_table, "dos"),
        (_xfs, "xfs"),
        (_two_filesystems, "more than one kind of data"),
        (_swap, "swap"),
        (_bytes_at_the_start, "data of an unknown kind"),
        (_bytes_at_the_end, "data of an unknown kind"),
    ],
)
def test_a_raw_disk_with_anything_on_it_is_left_alone(
    disks: LoopDisks, staging: Staging, stage: Path, write: Callable[[Path], None], named: str
) -> None:
    disks.create("pgdata", content=Content.RAW)
    write(disks.file("pgdata"))
    before = digest(disks.file("pgdata"))

    with pytest.raises(ForeignData, match=f'"pgdata" was used as a raw .* holds {named}'):
        staging.stage("pgdata", stage, WRITER)

    assert digest(disks.file("pgdata")) == before
    assert disks.get("pgdata").content is Content.RAW


@each_filesystem
def test_an_empty_raw_disk_is_formatted(
    disks: LoopDisks, staging: Staging, stage: Path, filesystem: str
) -> None:
    disks.create("pgdata", filesystem)
    staging.stage("pgdata", stage, BLOCK)
    staging.unstage("pgdata", stage)

    staging.stage("pgdata", stage, WRITER)

    (stage / "order").write_text("first")
    assert disks.get("pgdata").content is Content.FORMATTED


@each_filesystem
def test_a_users_own_filesystem_on_a_raw_disk_is_mounted(
    disks: LoopDisks, staging: Staging, stage: Path, filesystem: str
) -> None:
    disks.create("pgdata", filesystem, content=Content.RAW)
    FILESYSTEMS[filesystem].make(disks.file("pgdata"))
    made = uuid(disks.file("pgdata"))

    staging.stage("pgdata", stage, WRITER)

    assert uuid(disks.file("pgdata")) == made
    assert disks.get("pgdata").content is Content.FORMATTED


def test_a_formatted_disk_is_never_formatted_again_after_raw_use(
    disks: LoopDisks, staging: Staging, stage: Path
) -> None:
    disks.create("pgdata")
    staging.stage("pgdata", stage, WRITER)
    staging.unstage("pgdata", stage)
    staging.stage("pgdata", stage, BLOCK)
    staging.unstage("pgdata", stage)
    _put(disks.file("pgdata"), bytes(SIZE))

    with pytest.raises(Refused, match="not formatted again"):
        staging.stage("pgdata", stage, WRITER)

    assert _get(disks.file("pgdata"), MIB) == bytes(MIB)


@each_filesystem
def test_reading_only_writes_nothing_even_after_a_crash(
    disks: LoopDisks, staging: Staging, stage: Path, tmp_path: Path, filesystem: str
) -> None:
    disks.create("pgdata", filesystem)
    staging.stage("pgdata", stage, WRITER)
    (stage / "order").write_text("first")
    staging.unstage("pgdata", stage)
    staging.stage("pgdata", stage, WRITER)
    in_the_journal = stage / "order.2"
    in_the_journal.write_text("second")
    subprocess.run(["sync", in_the_journal], check=True)
    disks.clone("crashed", "pgdata", frozen=False)
    disks.change(replace(disks.get("crashed"), fresh_uuid=False))
    staging.unstage("pgdata", stage)
    before = digest(disks.file("crashed"))

    reading = tmp_path / "reading"
    staging.stage("crashed", reading, READER)
    assert (reading / "order").read_text() == "first"
    with pytest.raises(OSError, match="Read-only"):
        (reading / "order").write_text("changed")
    staging.unstage("crashed", reading)

    assert digest(disks.file("crashed")) == before


def test_a_crash_is_mended_before_writing(disks: LoopDisks, staging: Staging, stage: Path) -> None:
    disks.create("pgdata")
    staging.stage("pgdata", stage, WRITER)
    staging.unstage("pgdata", stage)
    # The state that the kernel writes when it meets an error.
    _debugfs(disks.file("pgdata"), "set_super_value state 2")

    staging.stage("pgdata", stage, WRITER)

    staging.unstage("pgdata", stage)
    assert "clean" in _debugfs(disks.file("pgdata"), "show_super_stats -h")


def test_damage_that_needs_a_person_is_left_to_one(
    disks: LoopDisks, staging: Staging, stage: Path
) -> None:
    disks.create("pgdata")
    staging.stage("pgdata", stage, WRITER)
    (stage / "order").write_text("first")
    staging.unstage("pgdata", stage)
    _debugfs(disks.file("pgdata"), "set_super_value state 2")
    _debugfs(disks.file("pgdata"), "clri <2>")

    with pytest.raises(Refused, match="damaged and cannot be mended without a person"):
        staging.stage("pgdata", stage, WRITER)


def uuid(device: Path) -> str:
    argv = ["blkid", "--probe", "--output", "value", "--match-tag", "UUID", str(device)]
    return subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def _debugfs(file: Path, request: str) -> str:
    argv = ["debugfs", "-w", "-R", request, str(file)]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def _put(file: Path, data: bytes, at: int = 0) -> None:
    with file.open("r+b") as stream:
        stream.seek(at)
        stream.write(data)


def _get(file: Path, length: int) -> bytes:
    with file.open("rb") as stream:
        return stream.read(length)
