"""Staging a disk, from a new one to one with data, and taking it down again."""

import logging
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from csi.capability import Capability, Mode
from csi.disk import MIB, Content
from csi.errors import DiskInUse, Incompatible, InvalidRequest, NotFound, Refused
from node import block_device, usage
from node.filesystems import MINIMUM_SIZE
from node.staging import NODE, Staging
from tests.life.host import Host
from tests.life.node.conftest import BLOCK, BLOCK_READER, READER, WRITER
from tests.life.node.loop_disks import SIZE, LoopDisks

pytestmark = pytest.mark.loop_only

each_filesystem = pytest.mark.parametrize("filesystem", ["ext4", "xfs", "btrfs"])


@each_filesystem
def test_a_new_disk_is_formatted_once_and_keeps_its_data(
    disks: LoopDisks, staging: Staging, stage: Path, host: Host, filesystem: str
) -> None:
    disks.create("pgdata", filesystem)

    staging.stage("pgdata", stage, WRITER)
    (stage / "order").write_text("first")
    staging.unstage("pgdata", stage)

    assert disks.get("pgdata").content is Content.FORMATTED
    assert (host.mounts(), host.loop_devices()) == ([], [])
    staging.stage("pgdata", stage, WRITER)
    assert (stage / "order").read_text() == "first"


def test_a_raw_device_is_bound_and_keeps_its_data(
    disks: LoopDisks, staging: Staging, stage: Path, host: Host
) -> None:
    disks.create("pgdata")

    staging.stage("pgdata", stage, BLOCK)
    _put(stage / NODE, b"first")
    staging.unstage("pgdata", stage)

    assert disks.get("pgdata").content is Content.RAW
    assert (host.mounts(), host.loop_devices(), list(stage.iterdir())) == ([], [], [])
    staging.stage("pgdata", stage, BLOCK)
    with (stage / NODE).open("rb") as device:
        assert device.read(5) == b"first"


def test_a_raw_device_for_readers_only_takes_no_writes(
    disks: LoopDisks, staging: Staging, stage: Path, host: Host
) -> None:
    disks.create("pgdata")

    staging.stage("pgdata", stage, BLOCK_READER)

    with pytest.raises(PermissionError):
        _put(stage / NODE, b"first")
    assert disks.get("pgdata").content is Content.PENDING
    # The loop device may serve something else next, which may be written to.
    (device,) = host.loop_devices()
    staging.unstage("pgdata", stage)
    assert not block_device.is_write_protected(device)


def test_a_disk_keeps_the_filesystem_it_was_created_with(
    disks: LoopDisks, staging: Staging, stage: Path, caplog: pytest.LogCaptureFixture
) -> None:
    disks.create("pgdata", "ext4")
    another = replace(WRITER, filesystem="xfs")

    for _ in ("before it is formatted", "and afterwards"):
        with caplog.at_level(logging.WARNING):
            staging.stage("pgdata", stage, another)
        assert _type(stage) == "ext4"
        assert 'disk "pgdata" was created as ext4' in caplog.text
        caplog.clear()
        staging.unstage("pgdata", stage)

    assert disks.get("pgdata").filesystem == "ext4"


def test_a_disk_that_was_used_raw_gets_the_filesystem_asked_for(
    disks: LoopDisks, staging: Staging, stage: Path
) -> None:
    disks.create("pgdata", "ext4", content=Content.RAW)

    staging.stage("pgdata", stage, replace(WRITER, filesystem="xfs"))

    assert disks.get("pgdata").filesystem == "xfs"
    assert _type(stage) == "xfs"


@each_filesystem
def test_it_grows_to_its_disk_when_it_is_staged(
    disks: LoopDisks, staging: Staging, stage: Path, filesystem: str
) -> None:
    disks.create("pgdata", filesystem)
    staging.stage("pgdata", stage, WRITER)
    before = usage.of_filesystem(stage).space.total
    staging.unstage("pgdata", stage)

    disks.expand("pgdata", 2 * SIZE)
    staging.stage("pgdata", stage, WRITER)

    assert usage.of_filesystem(stage).space.total > before + 0.9 * SIZE


def test_growth_that_a_kill_prevented_is_made_up_for(
    disks: LoopDisks, staging: Staging, stage: Path
) -> None:
    disks.create("pgdata", "xfs")
    staging.stage("pgdata", stage, WRITER)
    before = usage.of_filesystem(stage).space.total

    disks.expand("pgdata", 2 * SIZE)
    staging.stage("pgdata", stage, WRITER)

    assert usage.of_filesystem(stage).space.total > before + 0.9 * SIZE


@pytest.mark.parametrize("capability", [WRITER, READER, BLOCK, BLOCK_READER])
def test_staging_again_changes_nothing(
    disks: LoopDisks, staging: Staging, stage: Path, host: Host, capability: Capability
) -> None:
    disks.create("pgdata")
    staging.stage("pgdata", stage, capability)
    before = host.mounts()

    staging.stage("pgdata", stage, capability)

    assert host.mounts() == before
    assert len(before) == 1


@pytest.mark.parametrize(
    ("ways", "why"),
    [
        ((WRITER, READER), "writable"),
        ((READER, WRITER), "read-only"),
        ((WRITER, BLOCK), "as a filesystem"),
        ((BLOCK, WRITER), "as a block device"),
        ((BLOCK, BLOCK_READER), "writable"),
        ((WRITER, replace(WRITER, flags=("noatime",))), "noatime"),
        ((replace(WRITER, flags=("noexec", "sync")), replace(WRITER, flags=("sync",))), "noexec"),
    ],
)
def test_staging_it_there_in_another_way_is_refused(
    disks: LoopDisks,
    staging: Staging,
    stage: Path,
    ways: tuple[Capability, Capability],
    why: str,
) -> None:
    first, second = ways
    disks.create("pgdata")
    staging.stage("pgdata", stage, first)

    with pytest.raises(Incompatible, match=f'"pgdata" is already staged at .*{why}'):
        staging.stage("pgdata", stage, second)


@pytest.mark.parametrize("capability", [WRITER, BLOCK])
def test_a_second_staging_path_is_refused_by_the_first(
    disks: LoopDisks, staging: Staging, stage: Path, tmp_path: Path, capability: Capability
) -> None:
    disks.create("pgdata")
    staging.stage("pgdata", stage, capability)

    with pytest.raises(DiskInUse, match=f'"pgdata" is in use at {stage}'):
        staging.stage("pgdata", tmp_path / "other", capability)

    staging.unstage("pgdata", tmp_path / "other")
    staging.stage("pgdata", stage, capability)


def test_another_disk_at_the_path_is_left_alone(
    disks: LoopDisks, staging: Staging, stage: Path, host: Host
) -> None:
    disks.create("pgdata")
    disks.create("orders")
    staging.stage("pgdata", stage, WRITER)

    with pytest.raises(Refused, match=f'{stage} is where /dev/loop.* not disk "orders"'):
        staging.stage("orders", stage, WRITER)
    staging.unstage("orders", stage)

    assert host.mounts() == [stage]


def test_a_disk_mounted_in_another_mount_namespace_is_not_touched(
    disks: LoopDisks, staging: Staging, stage: Path, tmp_path: Path
) -> None:
    disks.create("pgdata")
    staging.stage("pgdata", stage, WRITER)
    # A container that still runs: it has a mount of its own, which nobody else sees.
    container = subprocess.Popen(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", "echo; read -r _"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=tmp_path,
    )
    assert container.stdout is not None
    container.stdout.readline()
    subprocess.run(["umount", stage], check=True)

    with pytest.raises(DiskInUse, match='"pgdata" is in use'):
        staging.stage("pgdata", stage, WRITER)

    container.communicate(b"\n")
    staging.stage("pgdata", stage, WRITER)


@each_filesystem
def test_a_disk_too_small_for_its_filesystem_is_refused(
    disks: LoopDisks, staging: Staging, stage: Path, host: Host, filesystem: str
) -> None:
    size = MINIMUM_SIZE[filesystem] - 1 * MIB
    disks.create("pgdata", filesystem, size=size)

    with pytest.raises(Refused, match=f'"pgdata" has {size} bytes, too few for {filesystem}'):
        staging.stage("pgdata", stage, WRITER)

    assert host.loop_devices() == []


@each_filesystem
def test_the_smallest_disk_of_each_filesystem_works(
    disks: LoopDisks, staging: Staging, stage: Path, filesystem: str
) -> None:
    disks.create("pgdata", filesystem, size=MINIMUM_SIZE[filesystem])

    staging.stage("pgdata", stage, WRITER)

    (stage / "order").write_text("first")


def test_mount_flags_reach_the_filesystem(disks: LoopDisks, staging: Staging, stage: Path) -> None:
    disks.create("pgdata")
    flags = ("noatime", "nosuid", "data=journal", "commit=30")

    staging.stage("pgdata", stage, replace(WRITER, flags=flags))

    assert set(flags) <= set(_options(stage))


def test_a_flag_of_another_filesystem_is_refused_before_formatting(
    disks: LoopDisks, staging: Staging, stage: Path
) -> None:
    disks.create("pgdata", "ext4")

    with pytest.raises(InvalidRequest, match='mount flag "logbufs" is not allowed for ext4'):
        staging.stage("pgdata", stage, replace(WRITER, flags=("logbufs=8",)))

    assert disks.get("pgdata").content is Content.PENDING


def test_ext4_stops_writing_at_the_first_error(
    disks: LoopDisks, staging: Staging, stage: Path, host: Host
) -> None:
    disks.create("pgdata")

    staging.stage("pgdata", stage, WRITER)
    (device,) = host.loop_devices()
    Path("/sys/fs/ext4", device.name, "trigger_fs_error").write_text("a test")

    with pytest.raises(OSError, match="Read-only"):
        (stage / "order").write_text("first")


def test_unstaging_what_is_published_is_refused(
    disks: LoopDisks, staging: Staging, stage: Path, tmp_path: Path, host: Host
) -> None:
    disks.create("pgdata")
    staging.stage("pgdata", stage, WRITER)
    pod = tmp_path / "pod"
    pod.mkdir()
    subprocess.run(["mount", "--bind", stage, pod], check=True)

    with pytest.raises(DiskInUse, match=f'"pgdata" is still published at {pod}'):
        staging.unstage("pgdata", stage)

    assert host.mounts() == [stage, pod]


def test_unstaging_with_open_files_is_refused(
    disks: LoopDisks, staging: Staging, stage: Path
) -> None:
    disks.create("pgdata")
    staging.stage("pgdata", stage, WRITER)

    with (
        (stage / "order").open("w"),
        pytest.raises(DiskInUse, match="end the processes that have files open there"),
    ):
        staging.unstage("pgdata", stage)

    staging.unstage("pgdata", stage)


def test_unstaging_twice_is_fine(disks: LoopDisks, staging: Staging, stage: Path) -> None:
    disks.create("pgdata")

    staging.unstage("pgdata", stage)
    staging.stage("pgdata", stage, WRITER)
    staging.unstage("pgdata", stage)
    staging.unstage("pgdata", stage)


def test_a_disk_that_does_not_exist(staging: Staging, stage: Path) -> None:
    with pytest.raises(NotFound, match='disk "pgdata" does not exist'):
        staging.stage("pgdata", stage, WRITER)
    with pytest.raises(NotFound, match='disk "pgdata" does not exist'):
        staging.unstage("pgdata", stage)


def test_several_readers_share_one_staged_disk(
    disks: LoopDisks, staging: Staging, stage: Path
) -> None:
    disks.create("pgdata")

    staging.stage("pgdata", stage, Capability(Mode.MULTI_NODE_READER_ONLY))

    assert "ro" in _options(stage)


def _put(path: Path, data: bytes) -> None:
    with path.open("r+b") as file:
        file.write(data)


def _type(path: Path) -> str:
    return _findmnt(path, "FSTYPE")


def _options(path: Path) -> list[str]:
    return _findmnt(path, "OPTIONS").split(",")


def _findmnt(path: Path, column: str) -> str:
    argv = ["findmnt", "--noheadings", "--first-only", "--output", column, str(path)]
    return subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
