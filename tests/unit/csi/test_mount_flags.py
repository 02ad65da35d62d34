"""Which mount flags are let through."""

import pytest

from csi import mount_flags
from csi.errors import InvalidRequest


@pytest.mark.parametrize(
    ("filesystem", "flag"),
    [
        ("", "ro"),
        ("", "noatime"),
        ("", "nodev"),
        ("", "data=ordered"),
        ("ext4", "data=journal"),
        ("ext4", "commit=30"),
        ("ext4", "errors=remount-ro"),
        ("ext4", "discard"),
        ("xfs", "logbufs=8"),
        ("xfs", "logbsize=256k"),
        ("xfs", "inode64"),
        ("btrfs", "compress=zstd:3"),
        ("btrfs", "compress-force=lzo"),
        ("btrfs", "space_cache=v2"),
        ("btrfs", "discard=async"),
        ("btrfs", "commit=120"),
    ],
)
def test_harmless_flags(filesystem: str, flag: str) -> None:
    assert mount_flags.parse([flag], filesystem) == (flag,)


@pytest.mark.parametrize(
    "flag",
    [
        *("dev", "suid", "exec", "bind", "remount", "move", "loop", "nouuid", "noload", "user"),
        *("nobarrier", "norecovery", "shared", "defaults", "", " ", "ro ", "RO", "nodatacow"),
    ],
)
@pytest.mark.parametrize("filesystem", ["", "ext4", "xfs", "btrfs"])
def test_other_flags_are_refused_by_name(filesystem: str, flag: str) -> None:
    with pytest.raises(InvalidRequest, match=f'mount flag "{flag}" is not allowed'):
        mount_flags.parse(["noatime", flag], filesystem)


@pytest.mark.parametrize(
    ("flag", "instead"),
    [
        ("errors=panic", "errors=remount-ro"),
        ("data=writeback", "data=ordered, data=journal"),
        ("commit=0", "commit=N"),
        ("commit=99999", "commit=N"),
        ("commit", "commit=N"),
        ("ro=1", "ro"),
    ],
)
def test_a_wrong_value_is_told_what_is_right(flag: str, instead: str) -> None:
    with pytest.raises(InvalidRequest, match=f"must be one of {instead} for ext4"):
        mount_flags.parse([flag], "ext4")


def test_flags_of_another_filesystem_are_refused() -> None:
    with pytest.raises(InvalidRequest, match='"logbufs" is not allowed for ext4'):
        mount_flags.parse(["logbufs=8"], "ext4")
    with pytest.raises(InvalidRequest, match='"data" is not allowed for xfs'):
        mount_flags.parse(["data=ordered"], "xfs")


def test_a_value_is_never_shown_as_it_may_be_a_secret() -> None:
    with pytest.raises(InvalidRequest) as caught:
        mount_flags.parse(["password=hunter2"])
    assert "hunter2" not in str(caught.value)

    with pytest.raises(InvalidRequest) as caught:
        mount_flags.parse(["commit=hunter2"])
    assert "hunter2" not in str(caught.value)


def test_flags_in_one_string_are_checked_one_by_one() -> None:
    assert mount_flags.parse(["noatime,nodev", "nodev"]) == ("noatime", "nodev")
    with pytest.raises(InvalidRequest, match='"suid"'):
        mount_flags.parse(["noatime,suid"])


def test_flags_that_contradict_each_other() -> None:
    with pytest.raises(InvalidRequest, match="ro and rw contradict"):
        mount_flags.parse(["ro", "rw"])
