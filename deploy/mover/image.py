"""A raw device, which the mover finds as `device` in the folder of its volume."""

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from csi.errors import OutOfRange, PoolFull, Refused, Unavailable
from csi.files import opened
from deploy.mover.children import CHUNK

_NAME = "device"
_ZEROS = bytes(CHUNK)
_SIGNATURES = 1 << 20
"""Bytes at the beginning that tell whether a device is used: all known signatures are there."""


def path(folder: Path) -> Path:
    """Where the device is."""
    return folder / _NAME


def size(device: Path) -> int:
    """Return a device's length in bytes; raises Unavailable."""
    with _device(device, os.O_RDONLY) as fd:
        return os.lseek(fd, 0, os.SEEK_END)


@contextmanager
def reading(device: Path) -> Iterator[int]:
    """Open a device, and yield its descriptor; raises Unavailable."""
    with _device(device, os.O_RDONLY) as fd:
        yield fd


def require_empty(device: Path) -> None:
    """Raise Refused if a device begins with anything but zeros."""
    with _device(device, os.O_RDONLY) as fd:
        if os.pread(fd, _SIGNATURES, 0).strip(b"\0"):
            raise Refused(
                f"{device} holds data already, and a backup is restored to an empty disk only:"
                " make a new one"
            )


def write(device: Path, chunks: Iterable[bytes]) -> int:
    """Write an image to an empty device, but no zeros, which it reads as anyway; return its length.

    Raises:
        OutOfRange: the image is longer than the device.
        PoolFull: the pool has no room for it.
        Refused: the device is not empty.
        Unavailable: it cannot be written.
    """
    with _device(device, os.O_RDWR) as fd:
        length, end = os.lseek(fd, 0, os.SEEK_END), 0
        for chunk in _whole(chunks):
            if end + len(chunk) > length:
                raise OutOfRange(
                    f"the disk has {length} bytes, and the backup is of a larger one:"
                    " restore it to a disk of that size"
                )
            if _is_zero(chunk):
                _require_zeros(fd, end, len(chunk), device)
            else:
                _put(fd, chunk, end)
            end += len(chunk)
        os.fsync(fd)
        return end


@contextmanager
def _device(device: Path, flags: int) -> Iterator[int]:
    try:
        with opened(device, flags | os.O_CLOEXEC) as fd:
            yield fd
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise PoolFull(f"no room for what the backup holds: {error.strerror}") from error
        raise Unavailable(f"{device} could not be used: {error.strerror}") from error


def _whole(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the same bytes in chunks as large as holes should be; pipes give smaller ones."""
    pending = bytearray()
    for chunk in chunks:
        pending += chunk
        while len(pending) >= CHUNK:
            yield bytes(memoryview(pending)[:CHUNK])
            del pending[:CHUNK]
    if pending:
        yield bytes(pending)


def _is_zero(chunk: bytes) -> bool:
    return chunk == _ZEROS[: len(chunk)]


def _require_zeros(fd: int, start: int, length: int, device: Path) -> None:
    if not _is_zero(os.pread(fd, length, start)):
        raise Refused(
            f"{device} is not empty: byte {start} or one that follows is in use; make a new disk"
        )


def _put(fd: int, data: bytes, start: int) -> None:
    rest = memoryview(data)
    while rest:
        written = os.pwrite(fd, rest, start)
        rest, start = rest[written:], start + written
