"""Image files: born complete or not at all, locked while they change, told apart from others'."""

import errno
import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from controller.image_facts import ATTRIBUTE
from csi.errors import DiskError, OutOfRange, PoolFull, Unavailable
from csi.files import opened

_MODE = 0o600


class Draft:
    """A new image without a name: until it is published it vanishes with the process."""

    def __init__(self, fd: int) -> None:
        """Args: fd: an unnamed file, which the caller closes."""
        self.fd = fd

    @property
    def size(self) -> int:
        """Its size in bytes."""
        return os.fstat(self.fd).st_size

    def empty(self) -> None:
        """Drop its content."""
        os.ftruncate(self.fd, 0)

    def grow(self, size: int) -> None:
        """Make it at least that long; the new part is a hole."""
        if size > self.size:
            os.ftruncate(self.fd, size)

    def describe(self, facts: bytes) -> None:
        """Give it the facts that make it an image, and make all of it durable."""
        os.setxattr(self.fd, ATTRIBUTE, facts)
        os.fsync(self.fd)

    def publish(self, path: Path) -> None:
        """Give it its name, durable after `sync`; raises FileExistsError if that is taken."""
        # linkat(2) with the link in /proc names an unnamed file; Python uses it only when it is
        # given a folder's descriptor.
        with opened(path.parent, os.O_DIRECTORY) as folder:
            os.link(f"/proc/self/fd/{self.fd}", path.name, dst_dir_fd=folder)


@contextmanager
def draft(folder: Path) -> Iterator[Draft]:
    """Yield a new, empty image that may be published into `folder`."""
    fd = os.open(folder, os.O_TMPFILE | os.O_RDWR, _MODE)
    try:
        yield Draft(fd)
    finally:
        os.close(fd)


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[int]:
    """Keep other threads and processes from changing an image; yields a descriptor for reading.

    The kernel lets the lock go when its holder dies.

    Raises:
        FileNotFoundError: there is no such file.
        BlockingIOError: somebody else holds the lock, and `wait` is false.
    """
    while True:
        with opened(path, os.O_RDONLY) as fd:
            fcntl.flock(fd, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.path.samestat(os.fstat(fd), path.stat()):
                continue  # deleted and made anew while this call waited
            yield fd
            return


def facts(path: Path) -> bytes | None:
    """Return an image's facts; None if there is no such file or it is not an image."""
    try:
        return os.getxattr(path, ATTRIBUTE)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENODATA, errno.ENOTDIR):
            return None
        raise


def set_facts(fd: int, facts: bytes) -> None:
    """Replace an image's facts, atomically and durably."""
    os.setxattr(fd, ATTRIBUTE, facts)
    os.fsync(fd)


def grow(path: Path, size: int) -> None:
    """Make an image longer, durably; the new part is a hole."""
    with opened(path, os.O_RDWR) as fd:
        os.ftruncate(fd, size)
        os.fsync(fd)


def sync(folder: Path) -> None:
    """Make the names in a folder durable."""
    with opened(folder, os.O_DIRECTORY) as fd:
        os.fsync(fd)


@contextmanager
def reporting(what: str) -> Iterator[None]:
    """Turn the kernel's errors into the domain's.

    Args:
        what: what is being done to which disk, as the sentence's beginning.

    Raises:
        PoolFull: no space, or a quota is used up.
        OutOfRange: the filesystem cannot hold a file of that size.
        Unavailable: anything else.
    """
    try:
        yield
    except OSError as error:
        kind, why = _ERRORS.get(error.errno or 0, (Unavailable, str(error.strerror or error)))
        raise kind(f"{what}: {why}") from error


_ERRORS: Mapping[int, tuple[type[DiskError], str]] = {
    errno.ENOSPC: (PoolFull, "the filesystem of the pool's folder is full"),
    errno.EDQUOT: (PoolFull, "the quota for the pool's folder is used up"),
    errno.EFBIG: (OutOfRange, "the filesystem of the pool's folder has no files of that size"),
    errno.EROFS: (Unavailable, "the filesystem of the pool's folder has become read-only"),
}
