"""The one interface to the place where disks live, whatever is below: LVM or a folder of files."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from csi.disk import Content, Disk, Extent, Inventory, NewSnapshot, PoolUsage, Snapshot


class Pool(Protocol):
    """A pool of disks and snapshots, of this host or of another one.

    The pool is the only record of disks: every fact in a `Disk` or `Snapshot` survives a restart,
    a kill at any moment and a reboot, because it is stored with the data itself. Calls about
    different disks may run at the same time; calls about one disk are serialised by the caller.
    """

    def check(self) -> None:
        """Raise Unavailable when the pool cannot serve calls now."""

    def close(self) -> None:
        """Let go of what the pool holds open; no call may follow."""

    def create(self, disk: Disk) -> Disk:
        """Make a disk as described (its size rounded up) and return what was made.

        With a `source` the disk starts with the content of that disk or snapshot, consistent even
        while the source is mounted; it takes over the source's filesystem, its content is
        FORMATTED (with `fresh_uuid`) if the source's was and RAW otherwise: a source that was
        PENDING when asked may have been formatted and written to before the cut.

        A disk of that name which exists already is completed if a killed call left it unfinished,
        and returned as it is: the caller compares.

        Raises:
            NotFound: the source does not exist.
            OutOfRange: the size is below the source's.
            PoolFull: no room, or the overcommit limit says no; with the figures. The limit does not
                concern a scratch volume that is a copy (see `promises.promise`).
        """

    def get(self, name: str) -> Disk:
        """Return the disk, or raise NotFound."""

    def disks(self) -> list[Disk]:
        """Return all disks of this driver, sorted by name; scratch volumes are no such disks."""

    def delete(self, name: str) -> None:
        """Delete the disk and its data; its snapshots stay.

        Raises:
            NotFound: there is no such disk.
            DiskInUse: its device is mounted or open; the sentence says where.
        """

    def expand(self, name: str, size: int) -> Disk:
        """Grow the disk to at least `size` bytes (never shrink), attached or not.

        Raises NotFound or PoolFull.
        """

    def set_read_ahead(self, name: str, kib: int) -> None:
        """Set the read-ahead of the disk's device, now and for later; raises NotFound."""

    def has_lost_filesystem(self, name: str) -> bool:
        """Tell whether a FORMATTED disk's device is there, but its filesystem is not."""

    def usage(self) -> PoolUsage:
        """Return how full the pool is."""

    def create_snapshots(self, wanted: Sequence[NewSnapshot]) -> list[Snapshot]:
        """Cut snapshots of several disks at one moment, all or none, in the order asked for.

        Mounted filesystems are frozen for that moment and thawed again whatever happens. A
        snapshot of a disk that is not FORMATTED is RAW (see `create`). Members
        that exist already (by name) are returned as they are, not cut again.

        Raises:
            NotFound: a disk does not exist.
            PoolFull: no room.
        """

    def get_snapshot(self, name: str) -> Snapshot:
        """Return the snapshot, or raise NotFound."""

    def snapshots(self) -> list[Snapshot]:
        """Return all snapshots of this driver, sorted by name."""

    def delete_snapshots(self, snapshots: Sequence[str]) -> None:
        """Delete those snapshots that exist; clones made from them are unaffected."""

    def allocated(self, snapshot: Snapshot) -> Iterator[Extent]:
        """Yield the written extents of a snapshot, ascending, not overlapping."""

    def changed(self, base: Snapshot, target: Snapshot) -> Iterator[Extent]:
        """Yield the extents that differ between two snapshots of one disk, ascending."""


class HostPool(Pool, Protocol):
    """A pool whose devices are on this host."""

    def scratch(self) -> list[Disk]:
        """Return the scratch volumes of pods, sorted by name."""

    def inventory(self) -> Inventory:
        """Return all disks and how full the pool is, at no more cost than `usage`."""

    def recover(self) -> None:
        """Undo what a killed predecessor left half-done: frozen filesystems, temporary files."""

    def attach(self, name: str) -> Path:
        """Make the disk's block device appear (if it is not there), at the disk's full size.

        Idempotent. Applies the disk's read-ahead. Raises NotFound.
        """

    def device(self, name: str) -> Path | None:
        """Return the disk's block device if it is there now; never changes anything."""

    def place(self, name: str) -> str:
        """Return where the disk is or would be kept, as the host's tools call it; asks nobody."""

    def detach(self, name: str) -> None:
        """Let the disk's device go if the pool keeps none for idle disks; fine if it is gone.

        Raises DiskInUse when it is mounted or open.
        """

    def mark(self, name: str, content: Content, filesystem: str | None = None) -> None:
        """Record durably what is on the disk; clears `fresh_uuid`. Raises NotFound."""
