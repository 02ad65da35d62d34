"""What a filesystem's superblock says, read without starting a program.

On-disk formats: Documentation/filesystems/ext4/super.rst, fs/xfs/libxfs/xfs_format.h and
include/uapi/linux/btrfs_tree.h of the Linux source.
"""

import struct
from dataclasses import dataclass
from pathlib import Path

from node import block_device

BTRFS_OFFSET = 64 << 10
"""Where the first superblock of a btrfs is."""

_AREA = BTRFS_OFFSET + 4096
_EXT4_OFFSET = 1024
_EXT4_MAGIC = 0xEF53
_EXT4_VALID = 1
_EXT4_RECOVER = 0x4
_EXT4_64BIT = 0x80


@dataclass(frozen=True, slots=True)
class Superblock:
    """A filesystem's own idea of itself."""

    size: int
    """Bytes of the device that the filesystem uses."""
    clean: bool
    """Whether it needs no check before a mount; xfs and btrfs look after themselves."""


def read(device: Path, filesystem: str) -> Superblock | None:
    """Return what the superblock of a filesystem says, None if the device has no such one.

    Raises Unavailable when the device cannot be read.
    """
    area = block_device.read(device, _AREA, 0)
    if len(area) < _AREA:
        return None
    if filesystem == "ext4":
        return _ext4(area[_EXT4_OFFSET:])
    return _xfs(area) if filesystem == "xfs" else _btrfs(area[BTRFS_OFFSET:])


def is_missing(device: Path | None, filesystem: str) -> bool:
    """Tell whether a device is there, but a filesystem of that kind is not on it."""
    return device is not None and read(device, filesystem) is None


def _ext4(block: bytes) -> Superblock | None:
    (magic, state) = struct.unpack_from("<HH", block, 0x38)
    if magic != _EXT4_MAGIC:
        return None
    (incompatible,) = struct.unpack_from("<I", block, 0x60)
    (blocks,) = struct.unpack_from("<I", block, 0x4)
    if incompatible & _EXT4_64BIT:
        (high,) = struct.unpack_from("<I", block, 0x150)
        blocks += high << 32
    (log_block_size,) = struct.unpack_from("<I", block, 0x18)
    (orphans,) = struct.unpack_from("<I", block, 0xE8)
    clean = state == _EXT4_VALID and not incompatible & _EXT4_RECOVER and not orphans
    return Superblock(blocks << (10 + min(log_block_size, 6)), clean)


def _xfs(block: bytes) -> Superblock | None:
    magic, block_size, blocks = struct.unpack_from(">4sIQ", block)
    return Superblock(block_size * blocks, clean=True) if magic == b"XFSB" else None


def _btrfs(block: bytes) -> Superblock | None:
    if block[0x40:0x48] != b"_BHRfS_M":
        return None
    (size,) = struct.unpack_from("<Q", block, 0x70)
    return Superblock(size, clean=True)
