"""Keeps disks still while thin snapshots of them are cut, so that these show one moment.

For a single cut LVM suspends the origin, and the kernel freezes a filesystem on it; but not btrfs,
before Linux 6.8. A group needs all its members frozen before the first cut. Linux before 6.8
refuses to suspend (EBUSY) what is frozen already, ext4 and xfs at least. Suspending all origins
before LVM does is no way out: LVM then leaves its messages to the pool unsent.
"""

import platform
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from controller import names
from controller.device_mapper import DeviceMapper
from csi.errors import Refused
from node import freeze, mounts

_FREEZES_NEST = (6, 8)
"""Linux from which a frozen filesystem can be suspended (FREEZE_MAY_NEST)."""


class Stillness:
    """Holds disks of one volume group still."""

    def __init__(self, mapper: DeviceMapper) -> None:
        """Args: mapper: the devices of the group."""
        self._mapper = mapper

    @contextmanager
    def hold(self, disks: Sequence[str]) -> Iterator[None]:
        """Keep disks still while LVM cuts each of them once inside.

        Raises:
            Refused: more than one of them is mounted as ext4 or xfs, on a Linux before 6.8.
            Busy: a filesystem is frozen already.
            Unavailable: a filesystem does not come to rest in time.
        """
        devices = {name: self._mapper.path(names.stem(names.DISK, name)) for name in disks}
        held = devices
        if len(devices) < 2 or not _freezes_nest():
            held = {name: device for name, device in devices.items() if _is_btrfs(device)}
            others = {n: d for n, d in devices.items() if n not in held and _is_written(d)}
            # A single one is frozen by its own cut, while the rest is held.
            if len(others) > 1:
                raise _refusal(sorted(others))
        with freeze.frozen(list(held.values())):
            yield


def _freezes_nest() -> bool:
    found = re.match(r"(\d+)\.(\d+)", platform.release())
    return found is not None and (int(found[1]), int(found[2])) >= _FREEZES_NEST


def _is_btrfs(device: Path) -> bool:
    return any(mount.fstype == "btrfs" for mount in mounts.of_device(device))


def _is_written(device: Path) -> bool:
    return any("ro" not in mount.super_options for mount in mounts.of_device(device))


def _refusal(names: Sequence[str]) -> Refused:
    listed = " and ".join(f'"{name}"' for name in names)
    return Refused(
        f"the disks {listed} are mounted, and this host's Linux {platform.release()} cannot hold "
        "several ext4 or xfs filesystems still for LVM; it needs Linux 6.8 or newer, or btrfs, or "
        "disks that are not in use. Snapshots of one disk at a time always work"
    )
