"""What the node side needs of the place where disks live; every pool offers it."""

from pathlib import Path
from typing import Protocol

from csi.disk import Content, Disk, PoolUsage, Snapshot


class Devices(Protocol):
    """Disks as devices of this host."""

    def check(self) -> None:
        """Raise Unavailable when disks cannot be reached now."""

    def get(self, name: str) -> Disk:
        """Return the disk, or raise NotFound."""

    def attach(self, name: str) -> Path:
        """Make the disk's device appear at the disk's full size and return it; idempotent.

        Raises NotFound or Unavailable.
        """

    def device(self, name: str) -> Path | None:
        """Return the disk's device if it is there now; never changes anything."""

    def detach(self, name: str) -> None:
        """Let the device go; fine if it is gone. Raises DiskInUse when it is mounted or open."""

    def mark(self, name: str, content: Content, filesystem: str | None = None) -> None:
        """Record durably what is on the disk; clears `fresh_uuid`. Raises NotFound."""

    def usage(self) -> PoolUsage:
        """Return how full the pool is; raises Unavailable."""


class ScratchPool(Devices, Protocol):
    """What scratch volumes need besides: a place where they are made."""

    def create(self, disk: Disk) -> Disk:
        """Make the disk, or return the one of that name; see `controller.pool.Pool.create`."""

    def delete(self, name: str) -> None:
        """Delete the disk. Raises NotFound, or DiskInUse when it is mounted or open."""

    def get_snapshot(self, name: str) -> Snapshot:
        """Return the snapshot, or raise NotFound."""

    def scratch(self) -> list[Disk]:
        """Return the scratch volumes of pods, sorted by name."""
