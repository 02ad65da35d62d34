"""What a host finds when it looks at its pool and at the disks that it uses, for all who ask."""

from dataclasses import dataclass
from pathlib import Path

from controller.pool import HostPool
from controller.scrape import AGE, PATIENCE
from csi.disk import Disk, Inventory
from csi.errors import Unavailable
from csi.http_recent import Recent
from node import health, mounts, usage
from node.health import Condition
from node.mounts import Mount
from node.usage import Amount

LOOK_AGE = 30.0
"""Seconds for which what was read from disks is good."""


@dataclass(frozen=True, slots=True)
class UsedDisk:
    """A disk that is mounted on this host, or given to somebody as a device."""

    disk: Disk
    device: Path
    mounts: tuple[Mount, ...]
    """Of its filesystem; none of a raw device."""
    space: Amount | None
    """Bytes of its filesystem; None where there is none that answers."""
    conditions: tuple[Condition, ...]
    """What is wrong with it."""


class PoolLooks:
    """Looks when somebody asks, and not again for a moment."""

    def __init__(self, pool: HostPool, patience: float = PATIENCE) -> None:
        """Args: the pool; how many seconds an asker waits."""
        self._pool = pool
        self._inventory = Recent(pool.inventory, age=AGE, patience=patience)
        self._used = Recent(self._look, age=LOOK_AGE, patience=patience)

    def inventory(self) -> Inventory:
        """Return what is in the pool; raises DiskError, TimeoutError."""
        return self._inventory.get()

    def used(self) -> list[UsedDisk]:
        """Return the disks that this host uses; raises DiskError, OSError, TimeoutError."""
        return self._used.get()

    def place(self, disk: str) -> str:
        """Return where a disk is kept, as `HostPool.place`."""
        return self._pool.place(disk)

    def _look(self) -> list[UsedDisk]:
        # Idle disks are looked at when they are staged; reading thousands of them helps nobody.
        in_use = mounts.numbers_in_use()
        found = []
        for disk in [one.disk for one in self._inventory.get().disks]:
            device = self._pool.device(disk.name)
            if device is not None and mounts.block_number(device) in in_use:
                found.append(_look_at(disk, device))
        return found


def _look_at(disk: Disk, device: Path) -> UsedDisk:
    shown = tuple(mounts.of_device(device))
    conditions = tuple(health.of_disk(disk, device))
    return UsedDisk(disk, device, shown, _space(shown), conditions)


def _space(shown: tuple[Mount, ...]) -> Amount | None:
    try:
        return usage.of_filesystem(shown[0].target).space if shown else None
    except Unavailable:
        return None
