"""Cuts thin snapshots of disks that are in use, so that they are of one moment.

For one snapshot LVM suspends the origin, which freezes a filesystem on it; but not btrfs, before
Linux 6.8. For a group LVM would suspend, cut and resume one disk after the other. So a group is
cut twice: by LVM, which gives each snapshot its LV, and then by the kernel alone. With all origins
suspended, each snapshot is dropped from the thin pool and taken anew under its old number (kernel
docs, device-mapper/thin-provisioning, "delete" and "create_snap"). LVM's metadata has no part in
that. To suspend the origins before LVM cuts them is no way: it then leaves its messages to the
pool unsent. To freeze them before is one only from Linux 6.8 on, where freezes nest.

Who suspends must not die before the end. So a process of its own does all of it, from the first
suspend to the last resume, and holds LVM's lock of the group meanwhile.
"""

import logging
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from controller import lvm_lock, names
from controller.device_mapper import DeviceMapper, is_suspended
from controller.lvm_session import udev_environ
from controller.thin_pool import ThinPool
from csi import programs
from csi.errors import Busy, DiskError, ProgramFailed, Unavailable
from node import freeze, mounts

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


class Cutter:
    """Cuts snapshots in one thin pool."""

    def __init__(self, pool: ThinPool) -> None:
        """Args: the pool of the disks and their snapshots."""
        self._pool = pool
        self._mapper = DeviceMapper(pool.vg)

    @contextmanager
    def still(self, disks: Sequence[str]) -> Iterator[None]:
        """Keep those filesystems frozen that suspending a device may not freeze.

        Raises:
            Busy: a filesystem is frozen already.
            Unavailable: a filesystem does not come to rest in time.
        """
        devices = [self._device(disk) for disk in disks]
        with freeze.frozen([device for device in devices if _is_btrfs(device)]):
            yield

    def cut(self, snapshots: Mapping[str, str]) -> int:
        """Take snapshots anew, all at one moment; returns it, nanoseconds since the epoch.

        Args:
            snapshots: snapshots that are there and inactive, and the disks that they are of.

        Raises:
            Busy: a filesystem is frozen already.
            Unavailable: LVM is busy, somebody removed a snapshot meanwhile, a filesystem does not
                come to rest in time, or the process that cuts was killed. What became of the
                snapshots is unknown then.
            ProgramFailed: the kernel refuses.
        """
        devices = [self._device(disk) for disk in snapshots.values()]
        origins = [device for device in devices if device.exists()]
        dmsetup = str(programs.require("dmsetup"))
        suspended = " ".join(device.name for device in origins)
        argv = ["sh", "-c", _SCRIPT, dmsetup, self._pool.device, suspended]
        what = " and ".join(f'disk "{disk}"' for disk in snapshots.values())
        with lvm_lock.held(self._pool.vg) as lock:
            status, moment, said = _finish([*argv, *self._messages(snapshots)], lock, what)
            if status != 0:
                _resume(origins)
        if status == 0:
            return int(moment)
        raise _failure(what, status, said)

    def _messages(self, snapshots: Mapping[str, str]) -> list[str]:
        """Return what the pool is to be told, under LVM's lock: numbers are given out again."""
        ids = self._pool.ids()
        messages = []
        for snapshot, disk in snapshots.items():
            own = ids.get(names.stem(names.SNAPSHOT, snapshot))
            origin = ids.get(names.stem(names.DISK, disk))
            if own is None or origin is None:
                raise Unavailable(f'snapshot "{snapshot}" was removed while it was cut; try again')
            messages += [f"delete {own}", f"create_snap {own} {origin}"]
        return messages

    def _device(self, disk: str) -> Path:
        return self._mapper.path(names.stem(names.DISK, disk))


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


def _is_btrfs(device: Path) -> bool:
    return any(mount.fstype == "btrfs" for mount in mounts.of_device(device))
