"""The only module that starts programs.

Programs run in the C locale with no standard input. gRPC's fork handlers can deadlock a fork
(grpc/grpc #22624), so nothing here forks in Python code: `subprocess` uses vfork+exec.
"""

import logging
import os
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from csi.errors import MissingProgram, ProgramFailed, Unavailable

log = logging.getLogger(__name__)

PACKAGES: Mapping[str, str] = {
    "mkfs.ext4": "e2fsprogs",
    "e2fsck": "e2fsprogs",
    "resize2fs": "e2fsprogs",
    "tune2fs": "e2fsprogs",
    "mkfs.xfs": "xfsprogs",
    "xfs_admin": "xfsprogs",
    "xfs_growfs": "xfsprogs",
    "xfs_repair": "xfsprogs",
    "mkfs.btrfs": "btrfs-progs",
    "btrfs": "btrfs-progs",
    "btrfstune": "btrfs-progs",
    "blkid": "util-linux",
    "fsfreeze": "util-linux",
    "lvm": "lvm2",
    "dmsetup": "dmsetup",
    "thin_dump": "thin-provisioning-tools",
    "thin_delta": "thin-provisioning-tools",
    "thin_ls": "thin-provisioning-tools",
    "openssl": "openssl",
    "tar": "tar",
    "zstd": "zstd",
    "restic": "restic",
}
"""Debian package of each program that the driver may need."""

SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/bin", "/bin")


@dataclass(frozen=True, slots=True)
class Finished:
    """How a program ended: its exit status and what it printed."""

    status: int
    stdout: str
    stderr: str


def find(program: str) -> Path | None:
    """Return where the program is installed, looking in the sbin folders too."""
    path = os.pathsep.join((os.environ.get("PATH", ""), *SBIN))
    found = shutil.which(program, path=path)
    return Path(found) if found else None


def require(program: str) -> Path:
    """Return where the program is installed; raises MissingProgram naming its package."""
    found = find(program)
    if found is None:
        raise MissingProgram(program, PACKAGES.get(program, program))
    return found


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment for programs: ours, in the C locale, plus `extra`."""
    return {**os.environ, "LC_ALL": "C", "LVM_SUPPRESS_FD_WARNINGS": "1", **(extra or {})}


def run(
    argv: Sequence[str],
    *,
    timeout: float = 600.0,
    accept: Sequence[int] = (0,),
    stdout: IO[str] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Finished:
    """Run a program to its end and return what it printed.

    Args:
        argv: the program's name and its arguments; never goes through a shell.
        timeout: seconds after which the program is killed.
        accept: exit statuses that are no failure.
        stdout: a file for its standard output, when that may be large.
        environ: variables besides this process's own.

    Raises:
        MissingProgram: it is not installed.
        ProgramFailed: it ended with another status, or was killed.
        Unavailable: it did not end in time.
    """
    path = require(argv[0])
    began = time.monotonic()
    try:
        done = subprocess.run(
            [path, *argv[1:]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if stdout is None else stdout,
            stderr=subprocess.PIPE,
            timeout=timeout,
            check=False,
            env=environment(environ),
        )
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{' '.join(argv)} did not end within {timeout:.0f} s") from error
    printed = (done.stdout or b"").decode(errors="replace")
    stderr = done.stderr.decode(errors="replace")
    took = (time.monotonic() - began) * 1e3
    log.debug("ran %s: status %d, %.0f ms", argv, done.returncode, took)
    if done.returncode not in accept:
        raise ProgramFailed(argv, done.returncode, stderr or printed)
    return Finished(done.returncode, printed, stderr)


def start(
    argv: Sequence[str],
    *,
    environ: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
    stdin: int | IO[bytes] = subprocess.PIPE,
    output: int = subprocess.PIPE,
    errors: int | None = None,
    folder: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Start a program that stays, with a pipe to its input and `output` for all that it prints.

    Args:
        argv: as for `run`.
        environ: as for `run`.
        pass_fds: descriptors that it shall have too, under the same numbers.
        stdin: what it reads instead of a pipe.
        output: what it prints on.
        errors: what it prints errors on, when that is something else.
        folder: where it starts, if not here.

    Raises MissingProgram when it is not installed. The caller ends and reaps it.
    """
    path = require(argv[0])
    return subprocess.Popen(
        [path, *argv[1:]],
        stdin=stdin,
        stdout=output,
        stderr=output if errors is None else errors,
        bufsize=0,
        env=environment(environ),
        pass_fds=pass_fds,
        cwd=folder,
    )
