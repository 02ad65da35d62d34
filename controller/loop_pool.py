"""A pool whose disks are sparse files in a folder, seen as loop devices: needs no device mapper.

A disk is DIR/disks/disk-NAME-HASH.img, a snapshot DIR/snapshots/snap-NAME-HASH.img: the data, and
what is known about it in an extended attribute.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from controller import group_note, image_cut, image_facts, image_file, loop_folder
from controller.capacity import admit
from controller.image_cut import Copy
from controller.image_file import Draft, reporting
from controller.image_store import Entry
from controller.loop_snapshots import LoopSnapshots
from controller.promises import Promises, promise
from csi.disk import (
    MIB,
    Content,
    Disk,
    Extent,
    Inventory,
    NewSnapshot,
    PoolUsage,
    Snapshot,
    SourceKind,
    StoredDisk,
)
from csi.errors import DiskInUse, NotFound, OutOfRange
from node import loop_device, superblock
from node.loop_device import LoopDevices

_GRANULARITY = MIB


class LoopPool:
    """Disks as image files; what is known about a disk is in its file and nowhere else."""

    def __init__(self, folder: Path, overcommit: float) -> None:
        """Open the pool; its folders are made when they are missing.

        Args:
            folder: where the images are, an absolute path.
            overcommit: how many times its size the pool may promise to disks.

        Raises InvalidRequest when the folder cannot hold a pool.
        """
        self._folder = folder
        self._overcommit = overcommit
        self._disks, self._images = loop_folder.prepare(folder)
        self._devices = LoopDevices()
        self._snapshots = LoopSnapshots(self._disks, self._images, self._devices)
        self._promises = Promises(self._count)
        # Counting and what makes a promise visible to the next count exclude each other.
        self._promising = threading.Lock()

    def check(self) -> None:
        """Raise Unavailable when the folder is gone or its filesystem has become read-only."""
        loop_folder.check(self._folder)

    def recover(self) -> None:
        """Thaw disks and undo groups of snapshots that a killed predecessor left half-done.

        New images need no clearing away: they have no name until they are complete.
        """
        with reporting(f"cannot recover the pool in {self._folder}"):
            image_cut.thaw_left_frozen(self._disks.folder)
            group_note.undo(self._images.folder)

    def close(self) -> None:
        """Nothing is held open between calls."""

    # disks

    def create(self, disk: Disk) -> Disk:
        """Make an image, complete before it has its name, or return the one that exists."""
        with reporting(f"cannot create {_called(disk.name)}"):
            existing = self._disks.find(disk.name)
            if existing is None:
                existing = self._create(replace(disk, size=_round_up(disk.size)))
            self._disks.sync()
        return existing

    def _create(self, disk: Disk) -> Disk:
        self._refuse_hopeless(disk)
        with self._disks.draft() as draft:
            made = self._copied(disk, draft) if disk.source else disk
            draft.grow(disk.size)
            draft.describe(image_facts.encode(made))
            with self._promised(disk.name, promise(disk)):
                return self._disks.publish(draft, made)

    def _copied(self, disk: Disk, draft: Draft) -> Disk:
        """Fill a draft with the content of the disk's source; return the disk that it becomes."""
        source = disk.source
        if source is None:
            raise ValueError("an empty disk has no source")
        store = self._disks if source.kind is SourceKind.DISK else self._images
        origin: Disk | Snapshot = store.get(source.name)
        what = f'{source.kind} "{source.name}"'
        if disk.size < origin.size:
            raise OutOfRange(
                f"{_called(disk.name)} of {disk.size} bytes cannot hold its source, "
                f"{what} of {origin.size} bytes"
            )
        image_cut.cut([Copy(what, store.path(source.name), draft)], self._devices)
        formatted = origin.content is Content.FORMATTED
        return replace(
            disk,
            filesystem=origin.filesystem,
            content=Content.FORMATTED if formatted else Content.RAW,
            fresh_uuid=formatted,
        )

    def get(self, name: str) -> Disk:
        """Read the facts of one image."""
        return self._disks.get(name)

    def disks(self) -> list[Disk]:
        """Read the facts of all images; files that are not ours are passed over."""
        return [disk for disk in self._all_disks() if not disk.scratch_for]

    def scratch(self) -> list[Disk]:
        """Read the facts of all images, and return the scratch volumes."""
        return [disk for disk in self._all_disks() if disk.scratch_for]

    def _all_disks(self) -> list[Disk]:
        return [entry.thing for entry in self._disks.entries()]

    def delete(self, name: str) -> None:
        """Let the loop device go and delete the image."""
        with reporting(f"cannot delete {_called(name)}"), self._disks.locked(name):
            try:
                self._devices.detach(self._disks.path(name))
            except DiskInUse as error:
                raise DiskInUse(f"{_called(name)} cannot be deleted: {error}") from None
            self._disks.remove(name)

    def expand(self, name: str, size: int) -> Disk:
        """Make the image longer, and its loop device if it has one."""
        with reporting(f"cannot expand {_called(name)}"), self._disks.locked(name):
            disk = self._disks.get(name)
            size = _round_up(size)
            path = self._disks.path(name)
            if size > disk.size:
                with self._promised(name, size - disk.size):
                    image_file.grow(path, size)
            # Also when a killed call had made only the image longer.
            self._devices.refresh(path)
        return replace(disk, size=max(size, disk.size))

    def set_read_ahead(self, name: str, kib: int) -> None:
        """Record it in the image, and set it on the loop device if there is one."""
        with reporting(f"cannot set the read-ahead of {_called(name)}"):
            self._disks.change(name, lambda disk: replace(disk, read_ahead_kib=kib))
            device = self.device(name)
            if device is not None:
                loop_device.set_read_ahead(device, kib)

    def mark(self, name: str, content: Content, filesystem: str | None = None) -> None:
        """Record in the image what is on it."""

        def marked(disk: Disk) -> Disk:
            known = filesystem or disk.filesystem
            return replace(disk, content=content, filesystem=known, fresh_uuid=False)

        with reporting(f"cannot record what is on {_called(name)}"):
            self._disks.change(name, marked)

    # snapshots

    def create_snapshots(self, wanted: Sequence[NewSnapshot]) -> list[Snapshot]:
        """Copy several disks at one moment."""
        return self._snapshots.create(wanted)

    def get_snapshot(self, name: str) -> Snapshot:
        """Read the facts of one snapshot."""
        return self._snapshots.get(name)

    def snapshots(self) -> list[Snapshot]:
        """List all snapshots, sorted by name."""
        return self._snapshots.list()

    def delete_snapshots(self, snapshots: Sequence[str]) -> None:
        """Delete those that exist."""
        self._snapshots.delete(snapshots)

    def allocated(self, snapshot: Snapshot) -> Iterator[Extent]:
        """Yield the extents of a snapshot that are no holes."""
        return self._snapshots.allocated(snapshot)

    def changed(self, base: Snapshot, target: Snapshot) -> Iterator[Extent]:
        """Yield the extents whose content differs between two snapshots."""
        return self._snapshots.changed(base, target)

    # devices

    def attach(self, name: str) -> Path:
        """Have a loop device show the image; after a reboot, for instance, none does."""
        with reporting(f"cannot attach {_called(name)}"), self._disks.locked(name):
            disk = self._disks.get(name)
            return self._devices.attach(self._disks.path(name), disk.read_ahead_kib)

    def device(self, name: str) -> Path | None:
        """Return the loop device that shows the image now."""
        with reporting(f"cannot look for the device of {_called(name)}"):
            return self._devices.find(self._disks.path(name))

    def place(self, name: str) -> str:
        """Return the image's path."""
        return str(self._disks.path(name))

    def has_lost_filesystem(self, name: str) -> bool:
        """Look for the superblock that mkfs wrote."""
        return superblock.is_missing(self.device(name), self.get(name).filesystem)

    def detach(self, name: str) -> None:
        """Give the loop device back to the kernel."""
        with reporting(f"cannot detach {_called(name)}"):
            try:
                with self._disks.locked(name):
                    self._devices.detach(self._disks.path(name))
            except NotFound:
                return
            except DiskInUse as error:
                raise DiskInUse(f"{_called(name)} cannot be detached: {error}") from None

    # room

    def usage(self) -> PoolUsage:
        """Add up what the images take and what their disks were promised."""
        with self._promising, reporting(f"cannot look into the pool in {self._folder}"):
            return self._promises.count()

    def inventory(self) -> Inventory:
        """Look at each image once."""
        with reporting(f"cannot look into the pool in {self._folder}"):
            disks, images = self._disks.entries(), self._images.entries()
            return Inventory(
                usage=self._usage(disks, images),
                disks=tuple(
                    StoredDisk(one.thing, one.allocated)
                    for one in disks
                    if not one.thing.scratch_for
                ),
                snapshots=len(images),
            )

    def _count(self) -> PoolUsage:
        return self._usage(self._disks.entries(), self._images.entries())

    def _usage(self, disks: Sequence[Entry[Disk]], images: Sequence[Entry[Snapshot]]) -> PoolUsage:
        used = sum(one.allocated for one in disks) + sum(one.allocated for one in images)
        return PoolUsage(
            size=loop_folder.room(self._folder, used),
            used=used,
            provisioned=sum(one.thing.size for one in disks if not one.thing.scratch_for),
            overcommit=self._overcommit,
            granularity=_GRANULARITY,
        )

    def _refuse_hopeless(self, disk: Disk) -> None:
        """Spare the work for a disk that has no chance; `_promised` decides in the end."""
        with self._promising:
            usage = self._promises.recent()
        if promise(disk) > usage.promisable:
            admit(self.usage(), _called(disk.name), promise(disk))

    @contextmanager
    def _promised(self, name: str, extra: int) -> Iterator[None]:
        """Make a promise visible inside; raises PoolFull when the limit says no."""
        with self._promising, self._promises.hold(_called(name), extra):
            yield


def _round_up(size: int) -> int:
    return max(1, -(-size // _GRANULARITY)) * _GRANULARITY


def _called(name: str) -> str:
    return f'disk "{name}"'
