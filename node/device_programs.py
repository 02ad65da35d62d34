"""Programs that write to a device, at most one at a time for each device.

Killing the driver does not end the program that it waits for, which may still write when the next
driver comes to the same disk. So the program itself holds a lock on the device: it inherits the
locked file, and the kernel lets go of the lock when the last holder ends. udev respects the same
lock and does not look at half-made filesystems (systemd.io, "Locking Block Device Access").
"""

import contextlib
import fcntl
import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from csi import programs
from csi.errors import ProgramFailed, Unavailable
from node import block_device

TIMEOUT = 3600.0
"""Seconds after which a program is killed: checking a large filesystem takes long."""

_MARK = "MIREN_CSI_WRITES_TO"
"""The environment variable by which a later driver knows what an earlier one started."""


def run(device: Path, argv: Sequence[str], *, accept: Sequence[int] = (0,)) -> None:
    """Run a program that may write to a device, when no other does any more.

    Raises:
        MissingProgram: it is not installed.
        ProgramFailed: it ended with a status that is not in `accept`, or was killed.
        Unavailable: it did not end in time, or the device cannot be opened.
    """
    with _alone(device) as lock:
        process = programs.start(argv, environ={_MARK: str(device)}, pass_fds=(lock,))
        try:
            stdout, stderr = process.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired as error:
            process.kill()
            process.communicate()
            raise Unavailable(f"{' '.join(argv)} did not end within {TIMEOUT:.0f} s") from error
    if process.returncode not in accept:
        said = (stderr or stdout).decode(errors="replace")
        raise ProgramFailed(argv, process.returncode, said)


def settle(device: Path) -> None:
    """End what a killed driver started on a device; raises Unavailable if that does not open."""
    with _alone(device):
        pass


@contextlib.contextmanager
def _alone(device: Path) -> Iterator[int]:
    with block_device.opened(device) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # Whatever they do will be done again from the start.
            for pid in _orphans(device):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            # Held now by what is just dying, or by udev, which is quick.
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock


def _orphans(device: Path) -> Iterator[int]:
    mark = f"{_MARK}={device}".encode()
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if mark in environ.read_bytes().split(b"\0"):
                yield int(environ.parent.name)
