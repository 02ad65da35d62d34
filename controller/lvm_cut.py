"""Cuts thin snapshots of disks that are in use, so that they are of one moment.

For one snapshot LVM suspends the origin, which freezes a filesystem on it; but not btrfs, before
Linux 6.8. For a group LVM would suspend, cut and resume one disk after the other. So a group is
cut twice: by LVM, which gives each snapshot its LV, and then by the kernel alone. With all origins
suspended, each snapshot is dropped from the thin pool and taken anew under its old number (kernel
docs, device-mapper/thin-provisioning, "delete" and "create_snap"). LVM's metadata has no part in
that. To suspend the origins before LVM cuts them is no way: it then leaves its messages to the
pool unsent. To freeze them before is one only from Linux 6.8 on, where freezes nest.
"""

import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from controller import lvm_lock, names, thin_messages
from controller.device_mapper import DeviceMapper
from controller.thin_pool import ThinPool
from csi.errors import Unavailable
from csi.files import opened
from node import freeze, mounts


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
        with (
            self._locked(fcntl.LOCK_SH),
            freeze.frozen([device for device in devices if _is_btrfs(device)]),
        ):
            yield

    @contextmanager
    def idle(self) -> Iterator[bool]:
        """Tell whether no driver of this host cuts anything, and let none begin meanwhile."""
        try:
            with self._locked(fcntl.LOCK_EX | fcntl.LOCK_NB):
                yield True
        except BlockingIOError:
            yield False

    @contextmanager
    def _locked(self, how: int) -> Iterator[None]:
        path = lvm_lock.folder() / f"miren-csi-{self._pool.device}-cut"
        with opened(path, os.O_CREAT | os.O_RDWR) as fd:
            fcntl.flock(fd, how)
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
        origins = [self._device(disk) for disk in snapshots.values()]
        what = " and ".join(f'disk "{disk}"' for disk in snapshots.values())
        with lvm_lock.held(self._pool.vg) as lock:
            return thin_messages.send(
                self._pool.device, self._messages(snapshots), origins, lock, what
            )

    def _messages(self, snapshots: Mapping[str, str]) -> list[str]:
        """Return what the pool is to be told, under LVM's lock: numbers are given out again."""
        ids = {volume.lv: volume.number for volume in self._pool.volumes()}
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


def _is_btrfs(device: Path) -> bool:
    return any(mount.fstype == "btrfs" for mount in mounts.of_device(device))
