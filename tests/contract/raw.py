"""Block devices as a program sees them that uses them raw."""

import os
from pathlib import Path

from csi.files import opened


def write(device: Path, offset: int, data: bytes) -> None:
    """Write to a raw device, durably."""
    with opened(device, os.O_RDWR) as fd:
        os.pwrite(fd, data, offset)
        os.fsync(fd)


def read(device: Path, offset: int, length: int) -> bytes:
    with opened(device) as fd:
        return os.pread(fd, length, offset)


def size(device: Path) -> int:
    with opened(device) as fd:
        return os.lseek(fd, 0, os.SEEK_END)


def read_ahead_kib(device: Path) -> int:
    number = device.stat().st_rdev
    queue = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}/queue")
    return int((queue / "read_ahead_kb").read_text())
