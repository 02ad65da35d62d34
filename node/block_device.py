"""What can be asked of and done to a block device without starting a program."""

import errno
import fcntl
import mmap
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from csi.errors import DiskInUse, Unavailable

_BLKROSET = 0x125D
_BLKROGET = 0x125E

_MIB = 1 << 20


def size(device: Path) -> int:
    """Return the size in bytes; raises Unavailable when the device cannot be opened."""
    with opened(device) as fd:
        return os.lseek(fd, 0, os.SEEK_END)


def write_protect(device: Path, *, on: bool) -> None:
    """Forbid or allow all writes to the device, by whatever way it is reached (BLKROSET).

    A device that is reused for another disk keeps this setting, so every user sets it anew.
    """
    with opened(device) as fd:
        fcntl.ioctl(fd, _BLKROSET, struct.pack("i", on))


def is_write_protected(device: Path) -> bool:
    """Return whether writes to the device are forbidden."""
    with opened(device) as fd:
        return struct.unpack("i", fcntl.ioctl(fd, _BLKROGET, struct.pack("i", 0))) != (0,)


def refuse_if_used(device: Path, whose: str) -> None:
    """Raise DiskInUse if the device is mounted, in any mount namespace, or otherwise claimed.

    Args:
        device: the block device.
        whose: the disk, as the error shall call it.
    """
    try:
        os.close(os.open(device, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC))
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise _unavailable(device, error) from error
        raise DiskInUse(
            f"{whose} is in use: its device {device} is mounted outside of this driver's view, "
            "by a container that still runs or by another program"
        ) from error


def is_blank(device: Path) -> bool:
    """Return whether the first 4 MiB and the last are all zeros, so that nothing is lost there."""
    with opened(device) as fd:
        end = os.lseek(fd, 0, os.SEEK_END)
        offsets = {*range(0, min(end, 4 * _MIB), _MIB), max(0, end - _MIB)}
        return not any(any(_pread(device, fd, _MIB, offset)) for offset in sorted(offsets))


def probe(device: Path) -> None:
    """Read a little from the device itself, not from memory; raises Unavailable if it fails."""
    with opened(device, os.O_DIRECT) as fd, mmap.mmap(-1, mmap.PAGESIZE) as aligned:
        try:
            os.preadv(fd, [aligned], 0)
        except OSError as error:
            raise _unavailable(device, error) from error


def read(device: Path, length: int, offset: int) -> bytes:
    """Return bytes of the device; raises Unavailable when they cannot be read."""
    with opened(device) as fd:
        return _pread(device, fd, length, offset)


@contextmanager
def opened(device: Path, flags: int = os.O_RDONLY) -> Iterator[int]:
    """Have the device open; raises Unavailable when it cannot be."""
    try:
        fd = os.open(device, flags | os.O_CLOEXEC)
    except OSError as error:
        raise _unavailable(device, error) from error
    try:
        yield fd
    finally:
        os.close(fd)


def _pread(device: Path, fd: int, length: int, offset: int) -> bytes:
    try:
        return os.pread(fd, length, offset)
    except OSError as error:
        raise _unavailable(device, error) from error


def _unavailable(device: Path, error: OSError) -> Unavailable:
    return Unavailable(f"the device {device} does not work: {error.strerror}")
