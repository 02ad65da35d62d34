"""Publishing: a staged disk appears where a workload wants it, and only there."""

import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from csi.capability import Capability, Mode
from csi.errors import DiskInUse, Incompatible, InvalidRequest, NotFound, Refused
from node import mounts
from node.publishing import Publishing
from node.staging import Staging
from tests.life.host import Host
from tests.life.node.conftest import (
    BLOCK,
    BLOCK_READER,
    BLOCK_WRITERS,
    READER,
    WRITER,
    WRITERS,
)
from tests.life.node.loop_disks import LoopDisks

pytestmark = pytest.mark.loop_only

DATABASE = 70
"""The group that a database runs as."""


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """The target path of another pod."""
    path = tmp_path / "other pod" / "mount"
    path.parent.mkdir()
    return path


@pytest.fixture
def staged(disks: LoopDisks, staging: Staging, stage: Path) -> Path:
    """Where the disk "pgdata" is staged as a writable filesystem."""
    disks.create("pgdata")
    staging.stage("pgdata", stage, WRITER)
    return stage


@pytest.fixture
def raw(disks: LoopDisks, staging: Staging, stage: Path) -> Path:
    """Where the disk "pgdata" is staged as a raw device."""
    disks.create("pgdata")
    staging.stage("pgdata", stage, BLOCK)
    return stage


def test_what_one_target_writes_the_next_one_reads(
    publishing: Publishing, staged: Path, target: Path, other: Path, host: Host
) -> None:
    publishing.publish("pgdata", staged, target, WRITER, read_only=False)
    (target / "order").write_text("first")
    publishing.unpublish("pgdata", target)

    assert not target.exists()
    assert host.mounts() == [staged]
    publishing.publish("pgdata", staged, other, WRITER, read_only=False)
    assert (other / "order").read_text() == "first"


def test_a_raw_device_appears_as_a_device(
    publishing: Publishing, raw: Path, target: Path, host: Host
) -> None:
    publishing.publish("pgdata", raw, target, BLOCK, read_only=False)

    (device,) = host.loop_devices()
    assert target.is_block_device()
    assert target.stat().st_rdev == device.stat().st_rdev
    _write(target, b"first")
    publishing.unpublish("pgdata", target)
    assert not target.exists()


@pytest.mark.parametrize(("capability", "read_only"), [(WRITER, True), (READER, False)])
def test_a_read_only_target_takes_no_writes(
    publishing: Publishing, staged: Path, target: Path, capability: Capability, *, read_only: bool
) -> None:
    (staged / "order").write_text("first")

    publishing.publish("pgdata", staged, target, capability, read_only=read_only)

    assert (target / "order").read_text() == "first"
    with pytest.raises(OSError, match="Read-only"):
        (target / "order").write_text("changed")


def test_a_read_only_raw_device_takes_no_writes_until_it_is_writable_again(
    publishing: Publishing, raw: Path, target: Path, other: Path
) -> None:
    publishing.publish("pgdata", raw, target, BLOCK, read_only=True)
    with pytest.raises(PermissionError):
        _write(target, b"first")
    publishing.unpublish("pgdata", target)

    publishing.publish("pgdata", raw, other, BLOCK, read_only=False)

    _write(other, b"first")


@pytest.mark.parametrize(
    "capability",
    [WRITER, READER, replace(WRITER, mode=Mode.SINGLE_NODE_WRITER)],
    ids=["single writer", "reader", "writer"],
)
def test_a_second_target_is_refused_by_the_first(
    publishing: Publishing, staged: Path, target: Path, other: Path, capability: Capability
) -> None:
    publishing.publish("pgdata", staged, target, capability, read_only=False)

    with pytest.raises(
        DiskInUse, match=rf'"pgdata" is published at {target} .*{capability.mode.name}'
    ):
        publishing.publish("pgdata", staged, other, capability, read_only=False)

    assert not other.exists()


def test_a_second_target_of_a_raw_device_is_refused_by_the_first(
    publishing: Publishing, raw: Path, target: Path, other: Path
) -> None:
    publishing.publish("pgdata", raw, target, BLOCK, read_only=False)

    with pytest.raises(DiskInUse, match=f'"pgdata" is published at {target}'):
        publishing.publish("pgdata", raw, other, BLOCK, read_only=False)


def test_several_writers_share_it_when_they_ask_for_that(
    publishing: Publishing, staged: Path, target: Path, other: Path
) -> None:
    publishing.publish("pgdata", staged, target, WRITERS, read_only=False)
    publishing.publish("pgdata", staged, other, WRITERS, read_only=True)

    (target / "order").write_text("first")

    assert (other / "order").read_text() == "first"
    publishing.unpublish("pgdata", target)
    assert (other / "order").read_text() == "first"


def test_a_raw_device_is_not_read_only_for_some_and_writable_for_others(
    publishing: Publishing, raw: Path, target: Path, other: Path
) -> None:
    publishing.publish("pgdata", raw, target, BLOCK_WRITERS, read_only=False)

    with pytest.raises(Refused, match=f"read-only at another .*{target}"):
        publishing.publish("pgdata", raw, other, BLOCK_WRITERS, read_only=True)


@pytest.mark.parametrize("read_only", [True, False])
def test_publishing_again_changes_nothing(
    publishing: Publishing, staged: Path, target: Path, host: Host, *, read_only: bool
) -> None:
    publishing.publish("pgdata", staged, target, WRITER, read_only=read_only)

    publishing.publish("pgdata", staged, target, WRITER, read_only=read_only)

    assert host.mounts() == [staged, target]


def test_publishing_it_there_in_another_way_is_refused(
    publishing: Publishing, staged: Path, target: Path
) -> None:
    publishing.publish("pgdata", staged, target, WRITER, read_only=False)

    with pytest.raises(Incompatible, match=f'"pgdata" is already published at {target}, but writ'):
        publishing.publish("pgdata", staged, target, WRITER, read_only=True)
    noexec = replace(WRITER, flags=("noexec",))
    with pytest.raises(Incompatible, match="with other mount flags"):
        publishing.publish("pgdata", staged, target, noexec, read_only=False)


@pytest.mark.parametrize("capability", [WRITER, BLOCK])
def test_a_disk_that_is_not_staged_is_not_published(
    disks: LoopDisks, publishing: Publishing, stage: Path, target: Path, capability: Capability
) -> None:
    disks.create("pgdata")
    with pytest.raises(Refused, match='"pgdata" is not staged on this node'):
        publishing.publish("pgdata", stage, target, capability, read_only=False)

    disks.attach("pgdata")

    with pytest.raises(Refused, match='"pgdata" is not staged as a'):
        publishing.publish("pgdata", stage, target, capability, read_only=False)
    assert not target.exists()


def test_a_disk_staged_in_one_way_is_not_published_in_the_other(
    publishing: Publishing, staged: Path, target: Path
) -> None:
    with pytest.raises(Refused, match='"pgdata" is not staged as a block device'):
        publishing.publish("pgdata", staged, target, BLOCK, read_only=False)


@pytest.mark.parametrize(("reader", "writer"), [(READER, WRITER), (BLOCK_READER, BLOCK)])
def test_what_is_staged_for_readers_is_not_published_writable(
    disks: LoopDisks, stage: Path, target: Path, reader: Capability, writer: Capability
) -> None:
    disks.create("pgdata")
    Staging(disks).stage("pgdata", stage, reader)
    publishing = Publishing(disks)

    with pytest.raises(Refused, match="staged read-only"):
        publishing.publish("pgdata", stage, target, writer, read_only=False)

    publishing.publish("pgdata", stage, target, reader, read_only=False)


def test_a_filesystem_that_failed_is_not_published(
    publishing: Publishing, staged: Path, target: Path, host: Host
) -> None:
    (device,) = host.loop_devices()
    Path("/sys/fs/ext4", device.name, "trigger_fs_error").write_text("a test")

    with pytest.raises(Refused, match='"pgdata" went read-only after an error'):
        publishing.publish("pgdata", staged, target, WRITER, read_only=False)


def test_targets_that_are_no_place_to_mount_on(
    publishing: Publishing, staged: Path, target: Path, tmp_path: Path
) -> None:
    def refused(kind: type[Exception], why: str) -> None:
        with pytest.raises(kind, match=why):
            publishing.publish("pgdata", staged, target, WRITER, read_only=False)

    target.write_text("somebody's")
    refused(InvalidRequest, "is a file with content, but must be a folder")
    assert target.read_text() == "somebody's"
    target.unlink()

    target.symlink_to(tmp_path)
    refused(InvalidRequest, "is a symbolic link, but must be a folder")
    target.unlink()

    target.mkdir()
    (target / "log").write_text("somebody's")
    refused(Refused, "is not empty")
    (target / "log").unlink()
    target.rmdir()

    target.parent.rmdir()
    refused(InvalidRequest, f"the folder {target.parent} does not exist")


def test_targets_that_are_no_place_for_a_device(
    publishing: Publishing, raw: Path, target: Path
) -> None:
    target.write_text("somebody's")
    with pytest.raises(InvalidRequest, match="must be an empty file"):
        publishing.publish("pgdata", raw, target, BLOCK, read_only=False)
    target.unlink()
    target.mkdir()
    with pytest.raises(InvalidRequest, match="is a folder, but must be an empty file"):
        publishing.publish("pgdata", raw, target, BLOCK, read_only=False)


def test_what_a_kill_left_at_the_target_is_used(
    publishing: Publishing, staged: Path, target: Path
) -> None:
    target.mkdir()

    publishing.publish("pgdata", staged, target, WRITER, read_only=False)

    (target / "order").write_text("first")


def test_unpublishing_removes_whatever_is_left(
    publishing: Publishing, staged: Path, target: Path
) -> None:
    publishing.publish("pgdata", staged, target, WRITER, read_only=False)
    mounts.bind(staged, target)
    publishing.unpublish("pgdata", target)
    assert not target.exists()
    assert mounts.at(staged) is not None

    publishing.unpublish("pgdata", target)
    target.mkdir()
    publishing.unpublish("pgdata", target)
    assert not target.exists()
    target.touch()
    publishing.unpublish("pgdata", target)
    assert not target.exists()


def test_unpublishing_leaves_alone_what_is_not_this_disk(
    disks: LoopDisks, publishing: Publishing, staged: Path, target: Path
) -> None:
    disks.create("orders")
    publishing.publish("pgdata", staged, target, WRITER, read_only=False)
    (target / "order").write_text("first")

    with pytest.raises(Refused, match='which is not disk "orders"; it is left alone'):
        publishing.unpublish("orders", target)

    assert (target / "order").read_text() == "first"


def test_unpublishing_leaves_alone_what_is_mounted_over_this_disk(
    publishing: Publishing, staged: Path, target: Path, tmp_path: Path
) -> None:
    publishing.publish("pgdata", staged, target, WRITER, read_only=False)
    mounts.bind(tmp_path, target)

    with pytest.raises(Refused, match='which is not disk "pgdata"; it is left alone'):
        publishing.unpublish("pgdata", target)

    there = mounts.at(target)
    assert there is not None
    assert there.root == str(tmp_path)


def test_unpublishing_never_removes_files(
    disks: LoopDisks, publishing: Publishing, target: Path
) -> None:
    disks.create("pgdata")
    target.mkdir()
    (target / "log").write_text("somebody's")

    with pytest.raises(Refused, match="is not empty, so it is left as it is"):
        publishing.unpublish("pgdata", target)

    assert (target / "log").read_text() == "somebody's"


def test_unpublishing_with_open_files_is_refused(
    publishing: Publishing, staged: Path, target: Path
) -> None:
    publishing.publish("pgdata", staged, target, WRITER, read_only=False)

    with (target / "order").open("w"), pytest.raises(DiskInUse, match="end the processes"):
        publishing.unpublish("pgdata", target)

    publishing.unpublish("pgdata", target)


def test_a_disk_that_does_not_exist(publishing: Publishing, stage: Path, target: Path) -> None:
    with pytest.raises(NotFound, match='disk "pgdata" does not exist'):
        publishing.publish("pgdata", stage, target, WRITER, read_only=False)
    with pytest.raises(NotFound, match='disk "pgdata" does not exist'):
        publishing.unpublish("pgdata", target)


def test_a_group_owns_all_files_old_and_new(
    publishing: Publishing, staged: Path, target: Path
) -> None:
    folder = staged / "base" / "1"
    folder.mkdir(parents=True)
    (folder / "order").write_text("first")
    (folder / "order").chmod(0o600)
    (folder / "link").symlink_to("/etc/passwd")
    before = Path("/etc/passwd").stat()

    capability = replace(WRITER, group=DATABASE)
    publishing.publish("pgdata", staged, target, capability, read_only=False)

    for path in (target, target / "base", target / "base" / "1"):
        assert path.stat().st_gid == DATABASE
        assert stat.S_IMODE(path.stat().st_mode) & 0o2770 == 0o2770
    assert stat.S_IMODE((target / "base/1/order").stat().st_mode) == 0o660
    assert (target / "base/1/link").lstat().st_gid == DATABASE
    assert Path("/etc/passwd").stat() == before
    (target / "base" / "new").write_text("second")
    assert (target / "base" / "new").stat().st_gid == DATABASE


def test_a_groups_files_are_not_gone_through_again(
    publishing: Publishing, staged: Path, target: Path
) -> None:
    capability = replace(WRITER, group=DATABASE)
    publishing.publish("pgdata", staged, target, capability, read_only=False)
    (target / "private").write_text("mine")
    os.chown(target / "private", 0, 0)
    publishing.unpublish("pgdata", target)

    publishing.publish("pgdata", staged, target, capability, read_only=False)

    assert (target / "private").stat().st_gid == 0


def test_a_group_that_only_reads_changes_nothing(
    publishing: Publishing, staged: Path, target: Path
) -> None:
    capability = replace(WRITER, group=DATABASE)

    publishing.publish("pgdata", staged, target, capability, read_only=True)

    assert target.stat().st_gid == 0


def _write(device: Path, data: bytes) -> None:
    with device.open("r+b") as file:
        file.write(data)
