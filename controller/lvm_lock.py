"""LVM's own lock of a volume group, for work on its devices that is no LVM command.

The lock is what LVM's file locking takes for a command that changes the group (lvm.conf(5),
global/locking_dir): an exclusive flock(2) of `V_` and the group's name.
"""

import fcntl
import functools
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from csi import programs
from csi.errors import Unavailable
from csi.files import opened

TIMEOUT = 120.0
"""Seconds to wait for LVM commands, ours or an operator's, that are under way."""


@contextmanager
def held(vg: str) -> Iterator[int]:
    """Keep all LVM commands from a volume group; yields the lock's descriptor.

    A process that inherits the descriptor keeps the lock until it ends as well.

    Raises Unavailable when LVM works on the group for too long.
    """
    path = folder() / f"V_{vg}"
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + TIMEOUT
    while True:
        with opened(path, os.O_CREAT | os.O_RDWR) as fd:
            _lock(fd, deadline, vg)
            if not _is_at(fd, path):
                continue  # LVM removes the file when it unlocks it
            yield fd
            return


def _lock(fd: int, deadline: float, vg: str) -> None:
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise Unavailable(f"LVM is busy with volume group {vg}; try again") from None
            time.sleep(0.005)
        else:
            return


def _is_at(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False


@functools.cache
def folder() -> Path:
    """Return where LVM keeps its locks: all drivers of this host see it, also in containers."""
    told = programs.run(["lvm", "lvmconfig", "--type", "full", "global/locking_dir"]).stdout
    return Path(told.partition("=")[2].strip().strip('"'))
