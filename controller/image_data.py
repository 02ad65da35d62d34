"""The bytes in image files: where they are, copies of them, and what differs between two."""

import errno
import fcntl
import os
from collections.abc import Iterator

from controller.capacity import human
from csi.disk import Extent
from csi.errors import PoolFull

_FICLONE = 0x40049409
"""linux/fs.h: _IOW(0x94, 9, int); see ioctl_ficlone(2)."""
_NO_REFLINK = frozenset({errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.EXDEV})

_CHUNK = 1 << 20
_ZEROS = bytes(_CHUNK)
_BLOCK = 1 << 16
"""Differences are told in blocks of this size: that of a thin pool's default chunk."""


def written(fd: int, size: int, start: int = 0) -> Iterator[Extent]:
    """Yield the written extents of a file from `start` to `size`, ascending (lseek(2))."""
    end = start
    while end < size:
        try:
            begin = os.lseek(fd, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole follows
                return
            raise
        if begin >= size:
            return
        end = min(os.lseek(fd, begin, os.SEEK_HOLE), size)
        yield Extent(begin, end - begin)


def copy(source: int, target: int) -> bool:
    """Copy a file into an empty one, holes and long zeros as holes; tell if it was a reflink.

    A reflink is cut at one moment, however busy the source; a copy of the data takes its time.

    Raises PoolFull, before anything is copied, when there is no room for the data.
    """
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError as error:
        if error.errno not in _NO_REFLINK:
            raise
    else:
        return True
    _check_room(source, target)
    size = os.fstat(source).st_size
    os.ftruncate(target, size)
    buffer = bytearray(_CHUNK)
    for extent in written(source, size):
        _copy_extent(source, target, extent, buffer)
    return False


def _check_room(source: int, target: int) -> None:
    """Refuse a hopeless copy: filling the filesystem up would make other disks' writes fail."""
    needed = os.fstat(source).st_blocks * 512
    room = os.fstatvfs(target)
    free = room.f_bavail * room.f_frsize
    if needed > free:
        raise PoolFull(
            f"a copy needs {human(needed)}, but the filesystem of the pool's folder has only "
            f"{human(free)} left"
        )


def _copy_extent(source: int, target: int, extent: Extent, buffer: bytearray) -> None:
    offset, end = extent.offset, extent.offset + extent.length
    view = memoryview(buffer)
    while offset < end:
        got = os.preadv(source, [view[: end - offset]], offset)
        if got == 0:
            return
        # mkfs.xfs, for one, writes long runs of zeros.
        done = got if got == _CHUNK and buffer == _ZEROS else 0
        while done < got:
            done += os.pwrite(target, view[done:got], offset + done)
        offset += got


def differing(base: int, target: int, size: int) -> Iterator[Extent]:
    """Yield where two files have different content up to `size`, ascending, in whole blocks.

    Only what is written in at least one of them is read, a chunk at a time.
    """
    pending: Extent | None = None
    for offset in _differing_blocks(base, target, size):
        if pending and pending.offset + pending.length == offset:
            pending = Extent(pending.offset, pending.length + _BLOCK)
            continue
        if pending:
            yield pending
        pending = Extent(offset, _BLOCK)
    if pending:
        yield Extent(pending.offset, min(pending.length, size - pending.offset))


def _differing_blocks(base: int, target: int, size: int) -> Iterator[int]:
    for start in _written_chunks(base, target, size):
        length = min(_CHUNK, size - start)
        before, after = (os.pread(fd, length, start).ljust(length, b"\0") for fd in (base, target))
        if before == after:
            continue
        for at in range(0, length, _BLOCK):
            if before[at : at + _BLOCK] != after[at : at + _BLOCK]:
                yield start + at


def _written_chunks(base: int, target: int, size: int) -> Iterator[int]:
    """Yield the offsets of chunks in which at least one of two files has data, ascending."""
    start = 0
    while start < size:
        next_ones = (next(written(fd, size, start), None) for fd in (base, target))
        offsets = [extent.offset for extent in next_ones if extent]
        if not offsets:
            return
        start = min(offsets) // _CHUNK * _CHUNK
        yield start
        start += _CHUNK
