"""Programs that run beside the mover, and what they say on standard error."""

import fcntl
import io
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self, cast

from csi import programs

CHUNK = 1 << 20
"""Bytes that are read from a pipe at a time, at most."""

_KEPT = 20
_GRACE = 10.0


def _ignore(_line: str) -> None:
    """For those who listen to nothing."""


class Child:
    """A program that is killed, at the latest, when its `with` ends."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        stdin: int | IO[bytes] = subprocess.DEVNULL,
        stdout: int = subprocess.PIPE,
        heard: Callable[[str], None] = _ignore,
        environ: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
        folder: Path | None = None,
    ) -> None:
        """Start it; each line of its standard error is told to `heard`, in a thread.

        Raises MissingProgram.
        """
        self._name = argv[0]
        self._heard = heard
        self._said: list[str] = []
        self._process = programs.start(
            argv,
            environ=environ,
            pass_fds=pass_fds,
            stdin=stdin,
            output=stdout,
            errors=subprocess.PIPE,
            folder=folder,
        )
        for pipe in filter(None, (self._process.stdin, self._process.stdout)):
            # Not for those without privileges whose user has many; it is about speed only.
            with suppress(PermissionError):
                fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, CHUNK)
        self._listener = threading.Thread(target=self._listen, name=f"{self._name} errors")
        self._listener.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process.poll() is None:
            # restic takes its lock away when it is asked to end.
            self.end()
        self.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    @property
    def input(self) -> IO[bytes]:
        """The pipe to its standard input."""
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def output(self) -> io.FileIO:
        """The pipe from its standard output."""
        return cast("io.FileIO", self._process.stdout)

    @property
    def said(self) -> str:
        """The first lines of its standard error, as one."""
        return " ".join(" ".join(self._said).split())

    def wait(self) -> int:
        """Wait for its end; return its exit status, negative if a signal ended it."""
        status = self._process.wait()
        self._listener.join()
        return status

    def end(self) -> None:
        """Ask it to end, and make it if it has not within seconds. Does not wait."""
        self._process.terminate()
        killer = threading.Timer(_GRACE, self._process.kill)
        killer.daemon = True
        killer.start()

    def _listen(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as pipe:
            for line in _lines(pipe):
                if len(self._said) < _KEPT:
                    self._said.append(line)
                self._heard(line)


def chunks(pipe: IO[bytes]) -> Iterator[bytes]:
    """Yield what comes out of a pipe, until its end."""
    while data := pipe.read(CHUNK):
        yield data


def write_all(pipe: IO[bytes], data: bytes) -> None:
    """Write to an unbuffered pipe, which may take a part at a time; raises BrokenPipeError."""
    rest = memoryview(data)
    while rest:
        rest = rest[pipe.write(rest) :]


def _lines(pipe: IO[bytes]) -> Iterator[str]:
    pending = b""
    while data := pipe.read(CHUNK):
        *whole, pending = (pending + data).split(b"\n")
        for line in whole:
            yield line.decode(errors="replace")
    if pending:
        yield pending.decode(errors="replace")
