"""A folder's files as GNU tar keeps them, with all that they have.

That is: owners as numbers, modes, times to the nanosecond, hard links, holes, devices, names of any
bytes, and extended attributes of all namespaces, which ACLs and file capabilities are too. tar
leaves out sockets, which mean something only to who has bound them, and inode flags (chattr).
"""

import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Self

from csi.errors import PoolFull, ProgramFailed, Refused
from deploy.mover.children import CHUNK, Child

_BOTH = ("--xattrs", "--xattrs-include=*", "--numeric-owner", "--quoting-style=escape", "--verbose")
_WRITE = (
    *("--create", "--file=-", "--format=posix", "--sparse", "--warning=no-timestamp"),
    # Times of reading and of the copying, and tar's own process id, would differ each time.
    "--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime",
)
_READ = (
    *("--extract", "--file=-", "--same-owner", "--preserve-permissions"),
    *("--delay-directory-restore", "--warning=no-timestamp"),
)
_SOCKET = ": socket ignored"
_TOO_FULL = ("No space left on device", "Disk quota exceeded")
_HOPELESS = (*_TOO_FULL, "Input/output error", "Read-only file system")
_LEFT_BY_MKFS = "lost+found"

Noted = Callable[[str], None]


def left_out(socket: str) -> str:
    """Return the note about a socket."""
    return f"{socket} is a socket, which no backup keeps"


class Tar:
    """A tar that runs, and what it has done so far."""

    def __init__(self, child: Child, count: "_Count") -> None:
        self.child = child
        self._count = count

    @property
    def files(self) -> int:
        """How many files it has dealt with, folders left out; exact once it has ended."""
        return self._count.files

    def finish(self) -> None:
        """Wait for its end; raises PoolFull or ProgramFailed if it could not do everything."""
        status = self.child.wait()
        self._count.join()
        if status == 0:
            return
        said = self.child.said
        if any(words in said for words in _TOO_FULL):
            raise PoolFull(f"the new disk is too small for what the backup holds: {said}")
        raise ProgramFailed(("tar",), status, said)


@contextmanager
def reading(folder: Path, note: Noted) -> Iterator[Tar]:
    """Run a tar that writes all of a folder to its output."""

    def heard(line: str) -> None:
        if line.endswith(_SOCKET):
            note(left_out(_without_program(line).removesuffix(_SOCKET).removeprefix("./")))

    with _tar((*_WRITE, *_BOTH, f"--directory={folder}"), heard, member=".") as tar:
        yield tar


@contextmanager
def writing(folder: Path, source: IO[bytes], note: Noted) -> Iterator[Tar]:
    """Run a tar that fills an empty folder with what it reads from `source`."""
    running: list[Child] = []

    def heard(line: str) -> None:
        # tar would go on, and fail with each file that is left.
        if any(words in line for words in _HOPELESS):
            for child in running:
                child.end()
        else:
            note(_without_program(line))

    with _tar((*_READ, *_BOTH, f"--directory={folder}"), heard, source=source) as tar:
        running.append(tar.child)
        yield tar


@contextmanager
def _tar(
    arguments: tuple[str, ...],
    heard: Noted,
    *,
    source: IO[bytes] | None = None,
    member: str | None = None,
) -> Iterator[Tar]:
    names, into = os.pipe()
    with ExitStack() as stack:
        count = stack.enter_context(_Count(names))
        try:
            listed = f"--index-file=/dev/fd/{into}"
            argv = ("tar", *arguments, listed, *([member] if member else []))
            stdin = subprocess.DEVNULL if source is None else source
            child = Child(argv, stdin=stdin, heard=heard, pass_fds=(into,))
        finally:
            os.close(into)
        yield Tar(stack.enter_context(child), count)


class _Count(threading.Thread):
    """Counts the names that come out of a pipe, a line each, but for those of folders."""

    def __init__(self, pipe: int) -> None:
        super().__init__(name="tar's names")
        self._pipe = pipe
        self.files = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.join()

    def run(self) -> None:
        with os.fdopen(self._pipe, "rb", buffering=0) as names:
            last = b""
            while data := names.read(CHUNK):
                self.files += data.count(b"\n") - (last + data).count(b"/\n")
                last = data[-1:]


def _without_program(line: str) -> str:
    return line.partition(": ")[2] or line


def used(folder: Path) -> int:
    """Bytes that are in use in the filesystem that a folder is the root of."""
    figures = os.statvfs(folder)
    return (figures.f_blocks - figures.f_bfree) * figures.f_frsize


def require_empty(folder: Path) -> None:
    """Raise Refused unless nothing but what mkfs makes is in a folder."""
    for entry in os.scandir(folder):
        if entry.name != _LEFT_BY_MKFS or any(os.scandir(entry)):
            raise Refused(
                f"{folder} holds {os.fsencode(entry.name)!r} already, and a backup is restored"
                " to an empty disk only: make a new one"
            )
