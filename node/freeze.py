"""Holds filesystems still for the moment of a copy, and lets them go again whatever happens.

A frozen filesystem (ioctl_fifreeze, fsfreeze(8)) stays frozen when the process that froze it dies,
and then everybody who writes to it hangs. So a watchdog, a process of its own, freezes and thaws:
it thaws when the pipe from this process closes, be that at the end of the copy or by a kill.
"""

import errno
import fcntl
import logging
import os
import select
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from csi import programs
from csi.errors import Busy, DiskError, Refused, Unavailable
from node import mounts

log = logging.getLogger(__name__)

_FITHAW = 0xC0045878
"""linux/fs.h: _IOWR('X', 120, int)."""
_NOT_FROZEN = frozenset({errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTTY})

_FREEZE_TIMEOUT = 60.0
"""Seconds for writing out what the filesystems have in memory."""
_THAW_TIMEOUT = 30.0

# $0 is fsfreeze, the arguments are open directories. Signals for the driver's process group, such
# as Ctrl-C's, must not end it before its work is done. It thaws only what it froze itself; status 3
# says that somebody else had thawed that.
_WATCHDOG = """
trap '' HUP INT PIPE QUIT TERM
exec 2>&1
frozen=
failed=
for fd in "$@"; do
    "$0" --freeze "/proc/self/fd/$fd" || { failed=1; break; }
    frozen="$frozen $fd"
done
[ "$failed" ] || echo frozen
exec >/dev/null 2>&1
read -r _
status=0
for fd in $frozen; do "$0" --unfreeze "/proc/self/fd/$fd" || status=3; done
exit $status
"""


@contextmanager
def frozen(devices: Sequence[Path]) -> Iterator[None]:
    """Keep the filesystems on these block devices still while inside; thaw them afterwards.

    Devices that are not mounted, or mounted read-only, or do not exist need nothing.

    Raises:
        Busy: a filesystem is frozen already, or was thawed by somebody before the end: what was
            copied meanwhile may be torn.
        Refused: it is mounted where it cannot be reached.
        Unavailable: it does not come to rest in time.
        MissingProgram: fsfreeze is not installed.
    """
    with ExitStack() as stack:
        roots = [_open_root(device, stack) for device in dict.fromkeys(devices)]
        held = [fd for fd in roots if fd is not None]
        if not held:
            yield
            return
        argv = ["sh", "-c", _WATCHDOG, str(programs.require("fsfreeze")), *map(str, held)]
        watchdog = programs.start(argv, pass_fds=held)
        try:
            _await_frozen(watchdog, devices)
            yield
        except BaseException:
            _release(watchdog, held)
            raise
        if not _release(watchdog, held):
            raise Busy(f"{_listed(devices)} was thawed by somebody during the copy; try again")


def thaw(mount_point: Path) -> bool:
    """Thaw a filesystem that a killed process left frozen; tell whether it was.

    Raises Unavailable when the kernel refuses.
    """
    try:
        fd = os.open(mount_point, os.O_RDONLY)
    except OSError as error:
        raise Unavailable(f"cannot thaw {mount_point}: {error.strerror}") from error
    try:
        return _thaw(fd)
    except OSError as error:
        raise Unavailable(f"cannot thaw {mount_point}: {error.strerror}") from error
    finally:
        os.close(fd)


def _thaw(fd: int) -> bool:
    try:
        fcntl.ioctl(fd, _FITHAW, 0)
    except OSError as error:
        if error.errno not in _NOT_FROZEN:
            raise
        return False
    return True


def _open_root(device: Path, stack: ExitStack) -> int | None:
    """Open a directory of the filesystem on a device, which keeps it mounted; None: no need to.

    A path alone could lead elsewhere: to what was mounted over it, or, when the disk is unmounted
    at this moment, to the host's own filesystem, which must never be frozen.
    """
    if device.exists() and not device.is_block_device():
        raise ValueError(f"{device} is not a block device")
    places = [mount for mount in mounts.of_device(device) if "ro" not in mount.super_options]
    for place in places:
        try:
            fd = os.open(place.target, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            continue
        if _mounted_device(fd) == (place.device, place.source):
            stack.callback(os.close, fd)
            return fd
        os.close(fd)
    if not places:
        return None
    where = ", ".join(str(place.target) for place in places)
    raise Refused(
        f"{device} is mounted at {where}, where something else hides it: it cannot be frozen for a "
        f"consistent copy"
    )


def _mounted_device(fd: int) -> tuple[tuple[int, int], str] | None:
    """Return what the filesystem of an open file is on, by its mount's number (proc(5))."""
    info = Path(f"/proc/self/fdinfo/{fd}").read_text()
    number = next(line.split()[1] for line in info.splitlines() if line.startswith("mnt_id:"))
    for line in os.fsdecode(mounts.MOUNTINFO.read_bytes()).splitlines():
        if line.startswith(f"{number} "):
            mount = mounts.parse(line)
            return mount.device, mount.source
    return None


def _await_frozen(watchdog: subprocess.Popen[bytes], devices: Sequence[Path]) -> None:
    said = _read_until(watchdog, b"frozen\n", time.monotonic() + _FREEZE_TIMEOUT)
    if said is None:
        raise Unavailable(f"{_listed(devices)} did not come to rest in {_FREEZE_TIMEOUT:.0f} s")
    if not said.endswith(b"frozen\n"):
        raise _not_frozen(devices, said.decode(errors="replace"))


def _read_until(watchdog: subprocess.Popen[bytes], end: bytes, deadline: float) -> bytes | None:
    """Return what the watchdog says up to `end` or its last word; None at the deadline."""
    if watchdog.stdout is None:
        raise ValueError("the watchdog has no output")
    said = b""
    ready = select.poll()
    ready.register(watchdog.stdout, select.POLLIN)
    while not said.endswith(end):
        if not ready.poll(max(0.0, deadline - time.monotonic()) * 1000):
            return None
        word = watchdog.stdout.read(4096)
        if not word:
            break
        said += word
    return said


def _not_frozen(devices: Sequence[Path], said: str) -> DiskError:
    if "busy" in said:
        return Busy(f"{_listed(devices)} is frozen already, by another copy or by hand; try again")
    return Unavailable(f"cannot freeze {_listed(devices)}: {' '.join(said.split())}")


def _release(watchdog: subprocess.Popen[bytes], held: Sequence[int]) -> bool:
    """Have everything thawed; tell whether it had been frozen all the time."""
    for pipe in (watchdog.stdin, watchdog.stdout, watchdog.stderr):
        if pipe is not None:
            pipe.close()
    try:
        status = watchdog.wait(_THAW_TIMEOUT)
    except subprocess.TimeoutExpired:
        # The kernel still writes out; the watchdog thaws when that ends.
        log.warning("a filesystem has not come to rest yet; it is thawed as soon as it has")
        return False
    if status in (0, 3):
        return status == 0
    log.warning("the process that freezes and thaws was killed; thawing in its place")
    thawed = [_thaw(fd) for fd in held]
    return all(thawed)


def _listed(devices: Sequence[Path]) -> str:
    return " and ".join(map(str, devices))
