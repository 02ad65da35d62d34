"""How a volume is to be used, as a request says it."""

import pytest

from csi import capability
from csi.capability import Capability, Mode
from csi.errors import InvalidRequest
from csi.stubs import csi_pb2


def message(
    mode: int = Mode.SINGLE_NODE_SINGLE_WRITER,
    *,
    block: bool = False,
    fs_type: str = "",
    flags: tuple[str, ...] = (),
    group: str = "",
) -> csi_pb2.VolumeCapability:
    access = csi_pb2.VolumeCapability.AccessMode(mode=mode)  # type: ignore[arg-type]
    if block:
        kind = csi_pb2.VolumeCapability.BlockVolume()
        return csi_pb2.VolumeCapability(access_mode=access, block=kind)
    mount = csi_pb2.VolumeCapability.MountVolume(
        fs_type=fs_type, mount_flags=flags, volume_mount_group=group
    )
    return csi_pb2.VolumeCapability(access_mode=access, mount=mount)


def test_a_filesystem_in_all_its_words() -> None:
    asked = message(fs_type="xfs", flags=("noatime", "logbufs=8"), group="70")

    assert capability.parse(asked) == Capability(
        Mode.SINGLE_NODE_SINGLE_WRITER,
        filesystem="xfs",
        flags=("noatime", "logbufs=8"),
        group=70,
    )


def test_a_raw_device() -> None:
    assert capability.parse(message(block=True)) == Capability(
        Mode.SINGLE_NODE_SINGLE_WRITER, block=True
    )


@pytest.mark.parametrize(
    ("mode", "exclusive", "read_only"),
    [
        (Mode.SINGLE_NODE_WRITER, True, False),
        (Mode.SINGLE_NODE_SINGLE_WRITER, True, False),
        (Mode.SINGLE_NODE_MULTI_WRITER, False, False),
        (Mode.SINGLE_NODE_READER_ONLY, True, True),
        (Mode.MULTI_NODE_READER_ONLY, False, True),
    ],
)
def test_who_may_use_it(mode: Mode, *, exclusive: bool, read_only: bool) -> None:
    asked = capability.parse(message(mode))

    assert (asked.exclusive, asked.read_only) == (exclusive, read_only)


def test_the_flag_ro_makes_it_read_only() -> None:
    assert capability.parse(message(flags=("ro",))).read_only
    assert not capability.parse(message(flags=("rw",))).read_only


@pytest.mark.parametrize("mode", [Mode.MULTI_NODE_SINGLE_WRITER, Mode.MULTI_NODE_MULTI_WRITER])
def test_writers_on_several_nodes_share_local_disks_only(mode: Mode) -> None:
    with pytest.raises(InvalidRequest, match=f"access_mode {mode.name} is not supported"):
        capability.parse(message(mode))

    assert not capability.parse(message(mode), local=True).exclusive


def test_what_is_missing_is_named() -> None:
    mode = csi_pb2.VolumeCapability.AccessMode(mode=Mode.SINGLE_NODE_WRITER)  # type: ignore[arg-type]
    no_kind = csi_pb2.VolumeCapability(access_mode=mode)

    with pytest.raises(InvalidRequest, match="access_type is missing"):
        capability.parse(no_kind)
    with pytest.raises(InvalidRequest, match="access_mode is missing"):
        capability.parse(message(0))
    with pytest.raises(InvalidRequest, match="access_mode 99 is not known"):
        capability.parse(message(99))


@pytest.mark.parametrize("fs_type", ["ext3", "EXT4", "ntfs", "ext4 ", "../ext4"])
def test_other_filesystems_are_refused(fs_type: str) -> None:
    with pytest.raises(InvalidRequest, match="is not supported; use ext4, xfs, btrfs"):
        capability.parse(message(fs_type=fs_type))


def test_flags_are_checked_for_the_filesystem() -> None:
    with pytest.raises(InvalidRequest, match='"suid" is not allowed'):
        capability.parse(message(flags=("suid",)))
    with pytest.raises(InvalidRequest, match='"logbufs" is not allowed for ext4'):
        capability.parse(message(fs_type="ext4", flags=("logbufs=8",)))


@pytest.mark.parametrize("group", ["postgres", "-1", "1.0", " 70", "4294967295", "٣", "0x10"])
def test_groups_that_are_none(group: str) -> None:
    with pytest.raises(InvalidRequest, match="volume_mount_group must be a numeric group id"):
        capability.parse(message(group=group))


@pytest.mark.parametrize(("group", "number"), [("0", 0), ("70", 70), ("4294967294", 4294967294)])
def test_groups(group: str, number: int) -> None:
    assert capability.parse(message(group=group)).group == number


def test_a_local_disk_is_no_device() -> None:
    with pytest.raises(InvalidRequest, match="a local disk is a directory"):
        capability.parse(message(block=True), local=True)
