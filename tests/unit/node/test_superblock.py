"""What superblocks say, and how a btrfs gets another UUID."""

import struct
from pathlib import Path

import pytest

from csi.disk import GIB, MIB
from csi.errors import Refused, Unavailable
from node import superblock
from node.btrfs import Btrfs
from node.superblock import Superblock

CLEAN, WITH_ERRORS = 1, 2
RECOVER, WIDE = 0x4, 0x80


@pytest.fixture
def device(tmp_path: Path) -> Path:
    path = tmp_path / "device"
    path.write_bytes(bytes(MIB))
    return path


def write(device: Path, *fields: tuple[int, bytes]) -> None:
    with device.open("r+b") as file:
        for offset, data in fields:
            file.seek(offset)
            file.write(data)


def write_ext4(device: Path, blocks: int, state: int, features: int) -> None:
    """An ext4 with blocks of 4 KiB."""
    low, high = blocks & 0xFFFFFFFF, blocks >> 32
    write(
        device,
        (1024 + 0x4, struct.pack("<I", low)),
        (1024 + 0x18, struct.pack("<I", 2)),
        (1024 + 0x38, struct.pack("<HH", 0xEF53, state)),
        (1024 + 0x60, struct.pack("<I", features)),
        (1024 + 0x150, struct.pack("<I", high)),
    )


@pytest.mark.parametrize(
    ("blocks", "state", "features", "said"),
    [
        (262144, CLEAN, WIDE, Superblock(GIB, clean=True)),
        (1 << 33, CLEAN, WIDE, Superblock(1 << 45, clean=True)),
        ((1 << 32) + 1, CLEAN, 0, Superblock(4096, clean=True)),
        (262144, CLEAN, WIDE | RECOVER, Superblock(GIB, clean=False)),
        (262144, WITH_ERRORS, WIDE, Superblock(GIB, clean=False)),
        (262144, CLEAN | WITH_ERRORS, WIDE, Superblock(GIB, clean=False)),
        (262144, 0, WIDE, Superblock(GIB, clean=False)),
    ],
)
def test_ext4(device: Path, blocks: int, state: int, features: int, said: Superblock) -> None:
    write_ext4(device, blocks, state, features)

    assert superblock.read(device, "ext4") == said
    assert superblock.read(device, "xfs") is None
    assert superblock.read(device, "btrfs") is None


def test_ext4_with_files_that_were_deleted_while_open_is_not_clean(device: Path) -> None:
    write_ext4(device, 262144, CLEAN, WIDE)
    write(device, (1024 + 0xE8, struct.pack("<I", 12)))

    assert superblock.read(device, "ext4") == Superblock(GIB, clean=False)


def test_xfs(device: Path) -> None:
    write(device, (0, struct.pack(">4sIQ", b"XFSB", 4096, 262144)))

    assert superblock.read(device, "xfs") == Superblock(GIB, clean=True)
    assert superblock.read(device, "ext4") is None


def test_btrfs(device: Path) -> None:
    write(device, (0x10040, b"_BHRfS_M"), (0x10070, struct.pack("<Q", GIB)))

    assert superblock.read(device, "btrfs") == Superblock(GIB, clean=True)
    assert superblock.read(device, "ext4") is None


@pytest.mark.parametrize("size", [0, 1000, 69000])
def test_a_device_too_small_for_any(tmp_path: Path, size: int) -> None:
    device = tmp_path / "device"
    device.write_bytes(bytes(size))

    assert superblock.read(device, "ext4") is None


def test_a_device_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="/gone does not work: No such file or directory"):
        superblock.read(tmp_path / "gone", "ext4")


def test_a_btrfs_with_checksums_that_python_cannot_make_is_left_as_it_is(device: Path) -> None:
    xxhash = 1
    write(device, (0x10030, struct.pack("<Q", 0x10000)), (0x10040, b"_BHRfS_M"))
    write(device, (0x100C4, struct.pack("<H", xxhash)))
    before = device.read_bytes()

    with pytest.raises(Refused, match=r"checksums of kind 1.* btrfstune -m"):
        Btrfs().renew_uuid(device, Path("/mnt"))

    assert device.read_bytes() == before
