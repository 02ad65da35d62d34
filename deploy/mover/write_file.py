"""`miren-mover write-file`: the archive of a disk to standard output."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, BinaryIO

from csi.errors import PoolFull, ProgramFailed, Unavailable
from deploy.mover import image, tree
from deploy.mover.about import About
from deploy.mover.archive import Stored, Writer
from deploy.mover.children import CHUNK, Child
from deploy.mover.lines import Lines

# Not all processors of the node: apps run on it.
_ZSTD = ("zstd", "-T2", "--quiet", "--stdout")


class _Source:
    """What is to be archived, as a descriptor to read, and how far it is."""

    def __init__(self, fd: int, total: int, tar: tree.Tar | None) -> None:
        self._fd = fd
        self._tar = tar
        self._total = total
        self.bytes = 0

    @property
    def files(self) -> int:
        return self._tar.files if self._tar else 1

    def feed(self, pipe: IO[bytes], lines: Lines) -> None:
        """Write it all to a pipe and close that; raises DiskError if it cannot be read."""
        with pipe:
            while moved := self._move(pipe.fileno()):
                self.bytes += moved
                lines.progress(self.bytes, self._total, self.files)

    def _move(self, pipe: int) -> int:
        """Move as much as there is; returns how many bytes, 0 at the end of either side."""
        try:
            # The kernel moves it; nobody here has to see it.
            return os.splice(self._fd, pipe, CHUNK)
        except BrokenPipeError:
            return 0  # What read it has ended, and says why.
        except OSError as error:
            raise Unavailable(f"the disk could not be read: {error.strerror}") from error

    def finish(self) -> None:
        """Raise DiskError unless all of it was read."""
        if self._tar:
            self._tar.finish()


def write_file(
    folder: Path, about: About, out: BinaryIO, lines: Lines, *, block: bool
) -> dict[str, object]:
    """Write the archive of what is in a folder, or of the device there; return the facts of it.

    Raises DiskError: what was written then is no backup, and no reader takes it for one.
    """
    with ExitStack() as stack:
        feeder = stack.enter_context(ThreadPoolExecutor(1))
        source = stack.enter_context(_device(folder) if block else _folder(folder, lines))
        zstd = stack.enter_context(Child(_ZSTD, stdin=-1))
        fed = feeder.submit(source.feed, zstd.input, lines)
        try:
            writer = Writer(out, about)
            writer.copy(zstd.output)
            fed.result()
            source.finish()
            if status := zstd.wait():
                raise ProgramFailed(("zstd",), status, zstd.said)
            stored = writer.finish()
        except BrokenPipeError as error:
            raise Unavailable("whoever took the backup has gone: start it again") from error
        except OSError as error:
            raise PoolFull(
                f"the backup could not be written to its end: {error.strerror};"
                " make room and start it again"
            ) from error
    return _facts(source, stored)


def _facts(source: _Source, stored: Stored) -> dict[str, object]:
    return {
        "bytes": source.bytes,
        "stored": stored.bytes,
        "files": source.files,
        "checksum": stored.checksum,
    }


@contextmanager
def _device(folder: Path) -> Iterator[_Source]:
    device = image.path(folder)
    with image.reading(device) as fd:
        yield _Source(fd, image.size(device), None)


@contextmanager
def _folder(folder: Path, lines: Lines) -> Iterator[_Source]:
    with tree.reading(folder, lines.note) as tar:
        yield _Source(tar.child.output.fileno(), tree.used(folder), tar)
