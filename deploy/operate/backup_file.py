"""Backups that come from a mover into one file here, and go back: by `kubectl exec`.

kubectl is content with a connection that was lost in the middle. So only what the archive and the
mover's last line say counts, never its exit status.
"""

import errno
import fcntl
import io
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, BinaryIO, Self, cast

from controller.capacity import human
from csi import programs
from csi.errors import Busy, NotFound, PoolFull, Refused, Unavailable
from deploy.mover.archive import DamagedArchive, Reader, Stored
from deploy.mover.children import Child
from deploy.operate.mover_job import CONTAINER
from deploy.operate.mover_lines import Facts, MoverFailed, Note, Progress, Result, parse
from deploy.operate.progress_bar import ProgressBar

_KUBECTL = "kubectl"
_PARTIAL = ".partial"
_BUFFER = 1 << 20
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(frozen=True, slots=True)
class Remote:
    """The container of a mover."""

    context: str | None
    namespace: str
    pod: str

    def command(self, words: Sequence[str], *, stdin: bool) -> list[str]:
        """Return the command that runs `miren-mover` there."""
        context = ["--context", self.context] if self.context else []
        interactive = ["--stdin"] if stdin else []
        where = ["--namespace", self.namespace, self.pod, "--container", CONTAINER]
        return [_KUBECTL, *context, "exec", *interactive, *where, "--", "miren-mover", *words]


def require_kubectl() -> None:
    """Raise MissingProgram where there is no kubectl: in a pod, for example."""
    programs.require(_KUBECTL)


def require_new(path: Path, *, force: bool) -> None:
    """Raise Refused, or NotFound, if a backup cannot be written to this file."""
    if path.is_dir():
        raise Refused(f"{path} is a folder: name a file in it")
    if path.exists() and not force:
        raise Refused(f"{path} exists already; choose another name, or --force to replace it")
    if not path.parent.is_dir():
        raise NotFound(f"there is no folder {path.parent} for {path.name}")


def receive(remote: Remote, words: Sequence[str], path: Path, bar: ProgressBar) -> Facts:
    """Have the mover write its archive into a file, which is there when all of it is.

    Raises MoverFailed, PoolFull, Refused, Unavailable; nothing is left of the file then.
    """
    with _partial(path) as file, _Running(remote, words, bar, subprocess.DEVNULL) as running:
        try:
            stored = _copied(running.output, file)
        except DamagedArchive:
            running.check()
            raise Unavailable(_lost(running, file.tell(), f"nothing is left of {path}")) from None
        facts = running.result()
        if (facts["stored"], facts["checksum"]) != (stored.bytes, stored.checksum):
            raise Unavailable(f"{path} is not what the mover has sent: nothing is left; try again")
    return facts


def send(remote: Remote, words: Sequence[str], path: Path, bar: ProgressBar) -> Facts:
    """Have the mover read an archive from a file; raises MoverFailed, NotFound, Unavailable."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise NotFound(f"{path} cannot be read: {error.strerror}") from error
    with file, _Running(remote, words, bar, file, stdout=subprocess.DEVNULL) as running:
        return running.result()


@contextmanager
def _partial(path: Path) -> Iterator[BinaryIO]:
    """Open a file beside the one that is meant, which it becomes if all goes well."""
    partial = path.with_name(path.name + _PARTIAL)
    try:
        fd = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        os.fchmod(fd, 0o600)  # it may be what an older command has left
    except OSError as error:
        raise Refused(f"{partial} cannot be written: {error.strerror}") from error
    with os.fdopen(fd, "r+b") as file:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Busy(f"another command writes {partial} just now") from None
        try:
            file.truncate()
            yield file
            file.flush()
            os.fsync(fd)
            partial.replace(path)
        except BaseException as error:
            # What is still buffered has no room either.
            with suppress(OSError):
                partial.unlink()
            with suppress(OSError):
                file.close()
            if isinstance(error, OSError):
                raise _unwritten(path, error) from error
            raise
    # Not all filesystems can; what is there is whole all the same.
    with suppress(OSError):
        _sync_folder(path.absolute().parent)


def _unwritten(path: Path, error: OSError) -> PoolFull | Refused:
    where = f"{path} in {path.absolute().parent}"
    if error.errno in _FULL:
        return PoolFull(
            f"there is no room for {where} ({error.strerror}): nothing is left of it; make room, or"
            " choose another place"
        )
    return Refused(
        f"{where} cannot be written to its end ({error.strerror}): nothing is left of it; choose"
        " another place"
    )


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class _Tee(io.RawIOBase):
    """Reads from a stream, and writes to a file all that it has read."""

    def __init__(self, stream: IO[bytes], file: BinaryIO) -> None:
        self._stream = io.BufferedReader(cast("io.RawIOBase", stream), _BUFFER)
        self._file = file

    def read(self, size: int = -1, /) -> bytes:
        data = self._stream.read(size)
        self._file.write(data)
        return data


def _copied(stream: IO[bytes], file: BinaryIO) -> Stored:
    """Copy an archive; raises DamagedArchive unless it is whole, OSError from the file."""
    tee = cast("BinaryIO", _Tee(stream, file))
    reader = Reader(tee)
    for _ in reader.pieces():
        pass
    if tee.read(1):
        raise DamagedArchive("something follows the end of the backup")
    return reader.stored()


class _Running:
    """A kubectl that runs the mover; it ends with the `with`."""

    def __init__(
        self,
        remote: Remote,
        words: Sequence[str],
        bar: ProgressBar,
        stdin: int | IO[bytes],
        stdout: int = subprocess.PIPE,
    ) -> None:
        self._bar = bar
        self._said: list[str] = []
        self._result: Facts | None = None
        self._failure: MoverFailed | None = None
        command = remote.command(words, stdin=stdin != subprocess.DEVNULL)
        self._child = Child(command, stdin=stdin, stdout=stdout, heard=self._hear)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._child.__exit__(kind, error, trace)

    @property
    def output(self) -> IO[bytes]:
        """What the mover writes."""
        return self._child.output

    @property
    def said(self) -> str:
        """What was said besides the mover's lines."""
        return " ".join(" ".join(self._said).split())

    def check(self) -> None:
        """Wait for its end; raises MoverFailed if the mover has said that it failed."""
        self._child.wait()
        if self._failure:
            raise self._failure

    def result(self) -> Facts:
        """Wait for its end, and return what the mover has said then.

        Raises MoverFailed, or Unavailable when it has said nothing.
        """
        self.check()
        if self._result is None:
            raise Unavailable(_lost(self, None, "nothing of it is used"))
        return self._result

    def _hear(self, line: str) -> None:
        try:
            found = parse(line)
        except MoverFailed as failure:
            self._failure = failure
            return
        match found:
            case Progress(done, total, files):
                self._bar.show(done, total, files)
            case Note(sentence):
                self._bar.say(f"  note: {sentence}")
            case Result(facts):
                self._result = facts
            case None:
                self._said.append(line)


def _lost(running: _Running, after: int | None, left: str) -> str:
    when = "" if after is None else f" after {human(after)}"
    said = running.said
    return (
        f"the connection to the mover was lost{when}{f' ({said})' if said else ''}: {left}; "
        "try again"
    )
