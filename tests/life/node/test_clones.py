"""A clone gets a filesystem UUID of its own, whatever interrupts that, so both can be mounted."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from csi.disk import Content
from csi.errors import Refused
from node import mounts
from node.filesystems import FILESYSTEMS
from node.staging import Staging
from tests.life.node.conftest import BLOCK, READER, WRITER
from tests.life.node.loop_disks import SIZE, LoopDisks
from tests.life.node.test_content import each_filesystem, uuid

pytestmark = pytest.mark.loop_only


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    """Where the clone is staged."""
    path = tmp_path / "beside"
    path.mkdir()
    return path


@pytest.fixture
def origin(disks: LoopDisks, staging: Staging, stage: Path, filesystem: str) -> Path:
    """The mounted filesystem of the disk "pgdata", with an order in it."""
    disks.create("pgdata", filesystem)
    staging.stage("pgdata", stage, WRITER)
    (stage / "order").write_text("first")
    return stage


@each_filesystem
@pytest.mark.parametrize("frozen", [True, False], ids=["frozen", "crashed"])
def test_a_clone_is_mounted_beside_its_origin(
    disks: LoopDisks, staging: Staging, origin: Path, beside: Path, *, frozen: bool
) -> None:
    subprocess.run(["sync", origin / "order"], check=True)
    disks.clone("copy", "pgdata", frozen=frozen)

    staging.stage("copy", beside, WRITER)

    assert (beside / "order").read_text() == "first"
    (beside / "order").write_text("second")
    assert (origin / "order").read_text() == "first"
    assert uuid(_device(disks, "copy")) != uuid(_device(disks, "pgdata"))
    assert not disks.get("copy").fresh_uuid


@each_filesystem
def test_a_clone_of_a_clone_is_mounted_beside_both(
    disks: LoopDisks, staging: Staging, origin: Path, beside: Path, tmp_path: Path
) -> None:
    disks.clone("copy", "pgdata")
    staging.stage("copy", beside, WRITER)
    disks.clone("copy of copy", "copy")
    third = tmp_path / "third"

    staging.stage("copy of copy", third, WRITER)

    assert (third / "order").read_text() == "first"
    uuids = {uuid(_device(disks, name)) for name in ("pgdata", "copy", "copy of copy")}
    assert len(uuids) == 3
    staging.unstage("copy of copy", third)
    assert _check(disks.file("copy of copy"), _type(origin))


@each_filesystem
def test_a_larger_clone_fills_its_disk(
    disks: LoopDisks, staging: Staging, origin: Path, beside: Path
) -> None:
    disks.clone("copy", "pgdata")
    disks.expand("copy", 2 * SIZE)

    staging.stage("copy", beside, WRITER)

    before, after = (_size(path) for path in (origin, beside))
    assert after > before + 0.9 * SIZE


@each_filesystem
def test_a_clone_for_readers_gets_its_own_uuid_too(
    disks: LoopDisks, staging: Staging, origin: Path, beside: Path
) -> None:
    disks.clone("copy", "pgdata")

    staging.stage("copy", beside, READER)

    assert (beside / "order").read_text() == (origin / "order").read_text()
    assert uuid(_device(disks, "copy")) != uuid(_device(disks, "pgdata"))


@each_filesystem
def test_a_raw_clone_of_a_filesystem_gets_its_own_uuid(
    disks: LoopDisks, staging: Staging, origin: Path, beside: Path
) -> None:
    # The pool saw the origin before its first mkfs had been recorded.
    disks.clone("copy", "pgdata")
    disks.change(replace(disks.get("copy"), content=Content.RAW, fresh_uuid=False))

    staging.stage("copy", beside, WRITER)

    assert (beside / "order").read_text() == (origin / "order").read_text()
    assert uuid(_device(disks, "copy")) != uuid(_device(disks, "pgdata"))
    assert disks.get("copy").content is Content.FORMATTED


@each_filesystem
def test_raw_use_of_a_clone_leaves_its_uuid_for_the_first_mount(
    disks: LoopDisks, staging: Staging, origin: Path, beside: Path
) -> None:
    disks.clone("copy", "pgdata")
    staging.stage("copy", beside, BLOCK)
    assert uuid(_device(disks, "copy")) == uuid(_device(disks, "pgdata"))
    staging.unstage("copy", beside)

    staging.stage("copy", beside, WRITER)

    assert (beside / "order").read_text() == (origin / "order").read_text()
    assert uuid(_device(disks, "copy")) != uuid(_device(disks, "pgdata"))


@each_filesystem
def test_a_renewal_killed_before_its_record_is_done_again(
    disks: LoopDisks, staging: Staging, origin: Path, beside: Path
) -> None:
    disks.clone("copy", "pgdata")
    device = disks.attach("copy")
    FILESYSTEMS[_type(origin)].renew_uuid(device, beside)

    staging.stage("copy", beside, WRITER)

    assert (beside / "order").read_text() == "first"


@pytest.mark.parametrize("filesystem", ["xfs"])
@pytest.mark.parametrize("content", [Content.FORMATTED, Content.RAW])
def test_a_kill_while_the_log_is_replayed(
    disks: LoopDisks, staging: Staging, origin: Path, beside: Path, content: Content
) -> None:
    disks.clone("copy", "pgdata")
    formatted = content is Content.FORMATTED
    disks.change(replace(disks.get("copy"), content=content, fresh_uuid=formatted))
    mounts.mount(disks.attach("copy"), beside, "xfs", ["nouuid"])

    staging.stage("copy", beside, WRITER)

    assert (beside / "order").read_text() == "first"
    assert uuid(_device(disks, "copy")) != uuid(_device(disks, "pgdata"))
    assert [mount.target for mount in mounts.of_device(_device(disks, "copy"))] == [beside]
    assert (origin / "order").read_text() == "first"


@pytest.mark.parametrize("filesystem", ["xfs"])
@pytest.mark.parametrize("share", [0.001, 0.5, 1.0])
def test_a_kill_while_the_log_is_written_anew(
    disks: LoopDisks, staging: Staging, origin: Path, beside: Path, share: float
) -> None:
    disks.clone("copy", "pgdata")
    _zero_log(disks.file("copy"), share)

    staging.stage("copy", beside, WRITER)

    assert (beside / "order").read_text() == (origin / "order").read_text()
    assert uuid(_device(disks, "copy")) != uuid(_device(disks, "pgdata"))
    staging.unstage("copy", beside)
    assert _check(disks.file("copy"), "xfs")


@pytest.mark.parametrize("filesystem", ["btrfs"])
def test_a_kill_between_two_superblocks(
    disks: LoopDisks, staging: Staging, origin: Path, beside: Path
) -> None:
    disks.clone("copy", "pgdata")
    whole = disks.file("copy").read_bytes()
    FILESYSTEMS["btrfs"].renew_uuid(disks.file("copy"), beside)
    with disks.file("copy").open("r+b") as file:
        file.seek(64 << 20)
        file.write(whole[64 << 20 : (64 << 20) + 4096])

    staging.stage("copy", beside, WRITER)

    assert (beside / "order").read_text() == (origin / "order").read_text()
    staging.unstage("copy", beside)
    assert _check(disks.file("copy"), "btrfs")


@pytest.mark.parametrize("filesystem", ["ext4"])
def test_a_clone_of_a_users_ext4_without_checksum_seed(
    disks: LoopDisks, staging: Staging, origin: Path, beside: Path
) -> None:
    staging.unstage("pgdata", origin)
    plain = ["-O", "^metadata_csum_seed", str(disks.file("pgdata"))]
    subprocess.run(["mkfs.ext4", "-q", "-F", *plain], check=True)
    staging.stage("pgdata", origin, WRITER)
    (origin / "order").write_text("first")
    disks.clone("copy", "pgdata")
    # As it is with a disk some days old; then tune2fs wants a full check first.
    last_checked = ["tune2fs", "-T", "20200101", str(disks.file("copy"))]
    subprocess.run(last_checked, stdout=subprocess.DEVNULL, check=True)

    staging.stage("copy", beside, WRITER)

    assert (beside / "order").read_text() == "first"
    assert uuid(_device(disks, "copy")) != uuid(_device(disks, "pgdata"))


@pytest.mark.parametrize("filesystem", ["xfs"])
def test_a_log_that_is_not_to_blame_is_kept(
    disks: LoopDisks, staging: Staging, origin: Path, beside: Path
) -> None:
    (origin / "in the log").write_text("second")
    subprocess.run(["sync", origin / "in the log"], check=True)
    disks.clone("copy", "pgdata", frozen=False)
    _set_magic_of_root_folder(disks.file("copy"), 0)

    with pytest.raises(Refused):
        staging.stage("copy", beside, WRITER)

    _set_magic_of_root_folder(disks.file("copy"), 0x494E)
    staging.stage("copy", beside, WRITER)
    assert (beside / "in the log").read_text() == "second"


def _set_magic_of_root_folder(file: Path, magic: int) -> None:
    damage = ["-c", "sb 0", "-c", "addr rootino", "-c", f"write -d core.magic {magic}"]
    argv = ["xfs_db", "-x", "-f", *damage, str(file)]
    subprocess.run(argv, capture_output=True, check=True)


def _device(disks: LoopDisks, name: str) -> Path:
    device = disks.device(name)
    assert device is not None
    return device


def _type(path: Path) -> str:
    found = mounts.at(path)
    assert found is not None
    return found.fstype


def _size(path: Path) -> int:
    argv = ["stat", "--file-system", "--format=%b %S", str(path)]
    blocks, size = subprocess.run(argv, stdout=subprocess.PIPE, check=True).stdout.split()
    return int(blocks) * int(size)


def _check(file: Path, filesystem: str) -> bool:
    """Whether the filesystem's own checker finds nothing to complain about."""
    checkers = {
        "ext4": ["e2fsck", "-f", "-n"],
        "xfs": ["xfs_repair", "-n", "-f"],
        "btrfs": ["btrfs", "check"],
    }
    argv = [*checkers[filesystem], str(file)]
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


def _zero_log(file: Path, share: float) -> None:
    """Zero the first part of an XFS's log, as xfs_admin does before it writes it anew."""
    fields = ("logstart", "logblocks", "agblocks", "agblklog", "blocksize")
    commands = [word for field in fields for word in ("-c", f"print {field}")]
    argv = ["xfs_db", "-r", "-f", "-c", "sb 0", *commands, str(file)]
    printed = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True).stdout
    value = {key.strip(): int(text) for key, text in (x.split("=") for x in printed.splitlines())}
    group, block = divmod(value["logstart"], 1 << value["agblklog"])
    with file.open("r+b") as stream:
        stream.seek((group * value["agblocks"] + block) * value["blocksize"])
        stream.write(bytes(max(512, int(value["logblocks"] * value["blocksize"] * share))))
