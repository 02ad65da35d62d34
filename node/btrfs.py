"""Btrfs: making, growing, and giving a clone its own UUID."""

import hashlib
import os
import struct
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

from csi import programs
from csi.errors import Refused
from node import block_device, device_programs, superblock

_SUPERBLOCK = 4096
_MIRRORS = (superblock.BTRFS_OFFSET, 64 << 20, 256 << 30)
_CHECKSUM = 32
"""Bytes at the beginning that hold the checksum of the rest."""
_FSID = slice(0x20, 0x30)
_ADDRESS = slice(0x30, 0x38)
_MAGIC = slice(0x40, 0x48)
_INCOMPATIBLE = 0xBC
_CHECKSUM_TYPE = 0xC4
_METADATA_UUID = slice(0x23B, 0x24B)
_HAS_METADATA_UUID = 1 << 10


class Btrfs:
    """With checksums and compression."""

    minimum_size = 112 << 20
    options = ()
    read_only_options = ("rescue=nologreplay",)

    def make(self, device: Path) -> None:
        """Format without discarding, which is pointless on a new thin device."""
        device_programs.run(device, ("mkfs.btrfs", "-q", "-f", "-K", str(device)))

    def check(self, _device: Path) -> None:
        """Do nothing: btrfs is consistent after a crash, and mends itself while mounted."""

    def grow(self, _device: Path, target: Path) -> None:
        """Grow to the size of the device while mounted."""
        programs.run(("btrfs", "filesystem", "resize", "max", str(target)))

    def renew_uuid(self, device: Path, _target: Path) -> None:
        """Give the unmounted filesystem a new random UUID; safe to redo after a kill.

        Writes what `btrfstune -m` does (feature metadata_uuid, Linux 5.0): the tree blocks keep
        the old UUID, the superblock gets a new one beside it. btrfstune itself refuses to go on
        after it was killed half-way; here every superblock is replaced in one write.

        Raises Refused if the superblock has a checksum that cannot be computed here.
        """
        with block_device.opened(device, os.O_RDWR) as fd:
            first = os.pread(fd, _SUPERBLOCK, _MIRRORS[0])
            new = uuid.uuid4().bytes
            for offset in _MIRRORS:
                old = os.pread(fd, _SUPERBLOCK, offset)
                if old[_MAGIC] == first[_MAGIC] and old[_ADDRESS] == struct.pack("<Q", offset):
                    os.pwrite(fd, _renewed(old, new, device), offset)
            os.fsync(fd)


def _renewed(block: bytes, new: bytes, device: Path) -> bytes:
    """Return a superblock with another UUID."""
    made = bytearray(block)
    (features,) = struct.unpack_from("<Q", made, _INCOMPATIBLE)
    if not features & _HAS_METADATA_UUID:
        made[_METADATA_UUID] = made[_FSID]
        struct.pack_into("<Q", made, _INCOMPATIBLE, features | _HAS_METADATA_UUID)
    made[_FSID] = new
    (kind,) = struct.unpack_from("<H", made, _CHECKSUM_TYPE)
    if kind not in _CHECKSUMS:
        raise Refused(
            f"the btrfs on {device} has checksums of kind {kind}, so its UUID cannot be renewed "
            "here; renew it by hand with btrfstune -m"
        )
    checksum = _CHECKSUMS[kind](bytes(made[_CHECKSUM:]))
    made[:_CHECKSUM] = checksum.ljust(_CHECKSUM, b"\0")
    return bytes(made)


def _crc32c(data: bytes) -> bytes:
    """Return the CRC-32C (Castagnoli) of some bytes, little-endian (RFC 3720, appendix B.4)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return struct.pack("<I", crc ^ 0xFFFFFFFF)


_CHECKSUMS: Mapping[int, Callable[[bytes], bytes]] = {
    0: _crc32c,
    2: lambda data: hashlib.sha256(data).digest(),
    3: lambda data: hashlib.blake2b(data, digest_size=32).digest(),
}
"""By the number that the superblock says; 1 is xxhash, which Python does not have."""
