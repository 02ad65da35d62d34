"""What the kernel tells about errors of a mounted filesystem (sysfs, the mount table)."""

import os
from collections.abc import Iterator
from pathlib import Path

from node import mounts
from node.mounts import Mount

_EXT4 = Path("/sys/fs/ext4")
_BTRFS = Path("/sys/fs/btrfs")
_BLOCK = Path("/sys/dev/block")


def count(device: Path) -> int:
    """Return how many errors the kernel has met on the mounted filesystem of a device.

    ext4 counts since the last check, which is before every mount after an error; btrfs counts for
    ever. XFS does not count; it stops.
    """
    name = _kernel_name(device)
    return _number(_EXT4 / name / "errors_count") + sum(_btrfs_errors(name))


def has_stopped_writing(mount: Mount, device: Path) -> bool:
    """Return whether the kernel made a filesystem read-only because of an error.

    Kernels from 6.12 until 6.15 hide that of ext4 in the mount table. As disks are mounted with
    errors=remount-ro, an error that was counted is as good a sign.
    """
    if mount.has_failed:
        return True
    return mount.fstype == "ext4" and _number(_EXT4 / _kernel_name(device) / "errors_count") > 0


def _kernel_name(device: Path) -> str:
    major, minor = mounts.block_number(device) or (0, 0)
    return (_BLOCK / f"{major}:{minor}").resolve().name


def _btrfs_errors(name: str) -> Iterator[int]:
    """Yield the counters in lines such as `write_errs 0` of all devices of a filesystem."""
    for link in _BTRFS.glob(f"*/devices/{name}"):
        for file in link.parent.parent.glob("devinfo/*/error_stats"):
            yield from map(int, _text(file).split()[1::2])


def _number(file: Path) -> int:
    return int(_text(file) or 0)


def _text(file: Path) -> str:
    try:
        return os.fsdecode(file.read_bytes()).strip()
    except OSError:
        return ""
