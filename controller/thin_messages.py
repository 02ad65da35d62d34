"""Sends messages to a thin pool while the origins of its snapshots are suspended.

Who suspends must not die before the end. So a process of its own does all of it, from the first
suspend to the last resume, and holds LVM's lock of the group meanwhile.
"""

import logging
import subprocess
from collections.abc import Sequence
from pathlib import Path

from controller.device_mapper import is_suspended
from controller.lvm_session import udev_environ
from csi import programs
from csi.errors import Busy, DiskError, ProgramFailed, Unavailable

log = logging.getLogger(__name__)

TIMEOUT = 120.0
"""Seconds for writing out what the filesystems have in memory."""

# $0 is dmsetup, $1 the thin pool's device, $2 the origins to suspend, the rest are messages to the
# pool. It prints the moment, in nanoseconds since the epoch. Signals for the driver's process
# group, such as Ctrl-C's, must not end it before its work is done.
_SCRIPT = """
trap '' HUP INT PIPE QUIT TERM
pool=$1 origins=$2
shift 2
failed=
for origin in $origins; do
    "$0" suspend "$origin" || { failed=1; break; }
done
[ "$failed" ] || date +%s%N
for message in "$@"; do
    [ "$failed" ] || "$0" message "$pool" 0 "$message" || failed=1
done
for origin in $origins; do
    "$0" resume "$origin" || failed=1
done
[ -z "$failed" ]
"""


def send(pool: str, messages: Sequence[str], origins: Sequence[Path], lock: int, what: str) -> int:
    """Send messages; returns the moment they are of, nanoseconds since the epoch.

    Args:
        pool: the thin pool's device, as dmsetup(8) takes it.
        messages: what to tell it (kernel docs, device-mapper/thin-provisioning, "Messages").
        origins: devices in /dev/mapper to be suspended meanwhile, those of them that exist.
        lock: LVM's lock of the group, held.
        what: the disks, as their user knows them.

    Raises:
        Busy: a filesystem is frozen already.
        Unavailable: a filesystem does not come to rest in time, or the process was killed. What
            became of the messages is unknown then.
        ProgramFailed: the kernel refuses.
    """
    devices = [device for device in origins if device.exists()]
    suspended = " ".join(device.name for device in devices)
    dmsetup = str(programs.require("dmsetup"))
    argv = ["sh", "-c", _SCRIPT, dmsetup, pool, suspended, *messages]
    status, moment, said = _finish(argv, lock, what)
    if status == 0:
        return int(moment)
    _resume(devices)
    raise _failure(what, status, said)


def _finish(argv: Sequence[str], lock: int, what: str) -> tuple[int, str, str]:
    process = programs.start(argv, environ=udev_environ(), pass_fds=[lock])
    try:
        moment, said = process.communicate(timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        # It is not killed: it resumes the disks as soon as they have come to rest.
        raise Unavailable(f"{what} did not come to rest in {TIMEOUT:.0f} s; try again") from None
    return process.returncode, moment.decode().strip(), said.decode(errors="replace")


def _resume(devices: Sequence[Path]) -> None:
    for device in devices:
        if is_suspended(device):
            log.warning("%s was left suspended; resuming it", device)
            programs.run(["dmsetup", "resume", device.name], environ=udev_environ())


def _failure(what: str, status: int, said: str) -> DiskError:
    if status < 0:
        return Unavailable(f"the process that cuts {what} was killed; try again")
    if "busy" in said:
        return Busy(f"{what} is frozen already, by another copy or by hand; try again")
    return ProgramFailed(["dmsetup"], status, f"cannot cut {what}: {said}")
