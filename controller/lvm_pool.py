"""A pool whose disks are thin logical volumes of one LVM thin pool."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from controller import lvm_errors, lvm_tags, names
from controller.device_mapper import DeviceMapper, is_suspended
from controller.lvm_cut import Cutter
from controller.lvm_group import VolumeGroup
from controller.lvm_removal import LvmRemoval
from controller.lvm_repair import LvmRepair
from controller.lvm_session import Lvm, LvmSession, Observe, Reply, Row, ignore
from controller.lvm_snapshots import LvmSnapshots
from controller.promises import Promises, promise
from controller.thin_metadata import ThinMetadata
from controller.thin_pool import ThinPool
from csi.disk import (
    FILESYSTEMS,
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
from csi.errors import (
    DiskInUse,
    Incompatible,
    InvalidRequest,
    NotFound,
    OutOfRange,
    PoolFull,
    Unavailable,
    disk_not_found,
)
from node import freeze, mounts, superblock

log = logging.getLogger(__name__)


class LvmPool:
    """Disks as thin LVs of VG/THINPOOL; everything known about them is in their names and tags."""

    def __init__(self, pool: str, overcommit: float, observe: Observe = ignore) -> None:
        """Open the pool.

        Args:
            pool: `VG/THINPOOL`.
            overcommit: how many times its size the pool may promise to disks.
            observe: is told of every LVM command that has ended.

        Raises:
            InvalidRequest: the name is malformed, the VG is unknown or the LV is no thin pool.
            Unavailable: LVM cannot be run.
        """
        vg, _, self._thin_pool = pool.partition("/")
        if not vg or not self._thin_pool or "/" in self._thin_pool:
            raise InvalidRequest(f"an LVM pool is written VG/THINPOOL, not {pool!r}")
        self._overcommit = overcommit
        self._mapper = DeviceMapper(vg)
        self._group = VolumeGroup(vg, LvmSession(self._mend, observe))
        self._promises = Promises(self._count)
        thin_pool = ThinPool(vg, self._thin_pool)
        metadata = ThinMetadata(thin_pool)
        self._repair = LvmRepair(self._group, thin_pool, metadata)
        self._removal = LvmRemoval(self._group, self._mapper)
        self._cutter = Cutter(thin_pool)
        self._snapshots = LvmSnapshots(
            self._group, metadata, self._cutter, self._repair, self._removal
        )
        try:
            self._check_layout(pool)
        except BaseException:
            self.close()
            raise

    def _check_layout(self, pool: str) -> None:
        try:
            reply = self._group.lvm.call("lvs", "-o", "lv_name,lv_layout", pool)
        except ValueError:
            raise InvalidRequest(f"{pool!r} is no valid LVM name") from None
        if not reply.ok:
            raise InvalidRequest(f"the LVM pool {pool}: {reply.message}")
        if "thin,pool" not in reply.rows[0]["lv_layout"]:
            raise InvalidRequest(
                f"the LV {pool} is not a thin pool; make one with: "
                f"lvcreate --type thin-pool -l 90%FREE -n NAME {self._group.name}"
            )

    def check(self) -> None:
        """Raise Unavailable when LVM does not answer or the pool is gone."""
        self._group.thin_pool_row(self._thin_pool)

    def recover(self) -> None:
        """Resume devices, thaw filesystems and undo cuts that a killed predecessor left."""
        self._mend(self._group.lvm)
        with self._cutter.idle() as idle:
            if not idle:
                log.info("another driver cuts snapshots now: it is no killed one's work")
                return
            self._snapshots.remove_uncut()
            for mount in mounts.mounts():
                if self._mapper.is_ours(mount.source):
                    freeze.thaw(mount.target)

    def _mend(self, lvm: Lvm) -> None:
        """Undo what an LVM command that died has told the kernel."""
        self._repair.settle()
        self._resume(lvm)

    def _resume(self, lvm: Lvm) -> None:
        for lv in self._mapper.suspended():
            path = self._group.path(lv)
            log.warning("%s was left suspended; resuming it", path)
            lvm.call("lvchange", "--refresh", path)

    def close(self) -> None:
        """End the LVM session."""
        self._group.lvm.close()

    # disks

    def create(self, disk: Disk) -> Disk:
        """Make a thin LV with all facts in its tags, or return the one that exists."""
        try:
            with self._promises.hold(_called(disk.name), promise(disk)):
                return self._create(disk)
        except (PoolFull, NotFound) as error:
            # What exists needs neither room nor its source any more.
            try:
                return self._existing(disk)
            except NotFound:
                raise error from None

    def _create(self, disk: Disk) -> Disk:
        if disk.source is None:
            made = replace(disk, size=self._round_up(disk.size))
            size = ["-V", f"{made.size}b", "--thinpool", self._thin_pool, self._group.name]
            reply = self._lvcreate(made, lvm_tags.disk_tags(made), size)
        else:
            origin = self._origin(disk)
            made = _inherit(replace(disk, size=self._round_up(disk.size)), origin)
            grow = made.size if made.size > origin.size else None
            # Snapshots are read-only and inactive: their clones must be neither.
            clone = ["-s", "-kn", "-ay", "-prw", self._group.path(_lv_of(origin))]
            with self._cutter.still([origin.name] if isinstance(origin, Disk) else []):
                reply = self._lvcreate(made, lvm_tags.disk_tags(made, grow=grow), clone)
            if reply.ok and grow:
                return self._finish_growing(made.name, grow)
        if reply.ok:
            return made
        if lvm_errors.ALREADY_EXISTS.search(reply.message):
            self._promises.forget()
            return self._existing(disk)
        if disk.source and lvm_errors.MISSING_LV.search(reply.message):
            raise NotFound(f'{disk.source.kind} "{disk.source.name}" does not exist')
        raise lvm_errors.failure(("lvcreate",), reply.message, _called(disk.name))

    def _lvcreate(self, disk: Disk, tags: Sequence[str], arguments: Sequence[str]) -> Reply:
        ahead = lvm_tags.read_ahead_arguments(disk.read_ahead_kib)
        tagged = [word for one in tags for word in ("--addtag", one)]
        return self._repair.lvcreate("-y", "-n", _lv(disk.name), *ahead, *tagged, *arguments)

    def _origin(self, disk: Disk) -> Disk | Snapshot:
        source = disk.source
        if source is None:
            raise ValueError("an empty disk has no origin")
        if source.kind is SourceKind.DISK:
            origin: Disk | Snapshot = self.get(source.name)
        else:
            origin = self.get_snapshot(source.name)
        if disk.size < origin.size:
            raise OutOfRange(
                f'disk "{disk.name}" of {disk.size} bytes cannot hold its source, '
                f'{source.kind} "{source.name}" of {origin.size} bytes'
            )
        return origin

    def _existing(self, disk: Disk) -> Disk:
        path = self._group.path(_lv(disk.name))
        row = self._group.row(_lv(disk.name))
        if row is None:
            raise disk_not_found(disk.name)
        facts = lvm_tags.parse(row["lv_tags"])
        if facts.get(lvm_tags.DISK) != disk.name:
            raise Incompatible(f'disk "{disk.name}" needs the LV {path}, which is not ours')
        grow = facts.get(lvm_tags.GROW)
        return self._finish_growing(disk.name, int(grow)) if grow else lvm_tags.disk_of(row)

    def _finish_growing(self, name: str, size: int) -> Disk:
        self._extend(name, size)
        done = lvm_tags.tag(lvm_tags.GROW, str(size))
        self._change(name, "--deltag", done)
        return self.get(name)

    def get(self, name: str) -> Disk:
        """Look one LV up by its name."""
        row = self._group.row(_lv(name))
        if row is None or not lvm_tags.is_disk(row):
            raise disk_not_found(name)
        return lvm_tags.disk_of(row)

    def disks(self) -> list[Disk]:
        """List the LVs that carry our disk tag; others are not looked at."""
        return [disk for disk in self._all_disks() if not disk.scratch_for]

    def scratch(self) -> list[Disk]:
        """List the LVs that carry the tag of a scratch volume as well."""
        return [disk for disk in self._all_disks() if disk.scratch_for]

    def _all_disks(self) -> list[Disk]:
        found = [lvm_tags.disk_of(row) for row in self._group.rows() if lvm_tags.is_disk(row)]
        return sorted(found, key=lambda disk: disk.name)

    def delete(self, name: str) -> None:
        """Remove the LV, in one command with whatever else is removed at this moment."""
        self.get(name)
        try:
            self._removal.remove(_lv(name))
        except NotFound:
            raise disk_not_found(name) from None
        except DiskInUse as error:
            raise DiskInUse(f"{_called(name)} cannot be deleted: {error}") from None
        self._promises.forget()

    def expand(self, name: str, size: int) -> Disk:
        """Extend the LV; the thin pool gives blocks when they are written."""
        disk = self.get(name)
        if size <= disk.size:
            return disk
        with self._promises.hold(_called(name), size - disk.size):
            self._extend(name, size)
        return replace(disk, size=self._round_up(size))

    def _extend(self, name: str, size: int) -> None:
        path = self._group.path(_lv(name))
        reply = self._group.lvm.call("lvextend", "-y", "-L", f"{self._round_up(size)}b", path)
        if not reply.ok and not lvm_errors.NOTHING_TO_GROW.search(reply.message):
            raise lvm_errors.failure(("lvextend", path), reply.message, _called(name))

    def set_read_ahead(self, name: str, kib: int) -> None:
        """Have LVM keep the read-ahead; it applies it whenever the LV is active."""
        path = self._group.path(_lv(name))
        reply = self._group.lvm.call("lvchange", *lvm_tags.read_ahead_arguments(kib), path)
        if not lvm_errors.NOTHING_TO_CHANGE.search(reply.message):
            self._group.expect(_called(name), ("lvchange", path), reply)

    def mark(self, name: str, content: Content, filesystem: str | None = None) -> None:
        """Swap the tags that say what is on the disk, in one command."""
        self._change(name, *lvm_tags.content_change(content, filesystem, FILESYSTEMS))

    def _change(self, name: str, *arguments: str) -> None:
        self._group.must(_called(name), "lvchange", *arguments, self._group.path(_lv(name)))

    # snapshots

    def create_snapshots(self, wanted: Sequence[NewSnapshot]) -> list[Snapshot]:
        """Cut thin snapshots at one moment."""
        return self._snapshots.create(wanted)

    def get_snapshot(self, name: str) -> Snapshot:
        """Look one snapshot up by its name."""
        return self._snapshots.get(name)

    def snapshots(self) -> list[Snapshot]:
        """List all snapshots, sorted by name."""
        return self._snapshots.list()

    def delete_snapshots(self, snapshots: Sequence[str]) -> None:
        """Remove those that exist."""
        self._snapshots.delete(snapshots)

    def allocated(self, snapshot: Snapshot) -> Iterator[Extent]:
        """Yield the written extents of a snapshot."""
        return self._snapshots.allocated(snapshot)

    def changed(self, base: Snapshot, target: Snapshot) -> Iterator[Extent]:
        """Yield the extents that differ between two snapshots."""
        return self._snapshots.changed(base, target)

    # devices

    def attach(self, name: str) -> Path:
        """Activate the LV if it is not: after a reboot nobody else may have done it."""
        if is_suspended(self._mapper.path(_lv(name))):
            self._resume(self._group.lvm)
        device = self.device(name)
        if device is None:
            self._change(name, "-ay", "-K")
            device = self.device(name)
        if device is None:
            # Active already, but its node is missing: a container without udev came later.
            self._group.must(_called(name), "vgmknodes", self._group.name)
            device = self.device(name)
        if device is None:
            raise Unavailable(f'the device of disk "{name}" does not appear in /dev/mapper')
        return device

    def device(self, name: str) -> Path | None:
        """Return /dev/mapper/… of the LV if it is active."""
        path = self._mapper.path(_lv(name))
        return path if path.is_block_device() else None

    def place(self, name: str) -> str:
        """Return VG/LV."""
        return self._group.path(_lv(name))

    def has_lost_filesystem(self, name: str) -> bool:
        """Look for the superblock that mkfs wrote."""
        return superblock.is_missing(self.device(name), self.get(name).filesystem)

    def detach(self, name: str) -> None:
        """LVs stay active: an idle one costs nothing, activating costs a command."""

    # room

    def usage(self) -> PoolUsage:
        """Ask LVM how full the pool is and what it has promised."""
        return self._promises.count()

    def inventory(self) -> Inventory:
        """Ask LVM for everything in one command."""
        rows = self._group.rows()
        disks = (
            StoredDisk(lvm_tags.disk_of(row), _written(row))
            for row in rows
            if lvm_tags.is_disk(row) and not lvm_tags.is_scratch(row)
        )
        return Inventory(
            usage=self._usage(rows),
            disks=tuple(sorted(disks, key=lambda one: one.disk.name)),
            snapshots=sum(map(lvm_tags.is_snapshot, rows)),
        )

    def _count(self) -> PoolUsage:
        return self._usage(self._group.rows())

    def _usage(self, found: Sequence[Row]) -> PoolUsage:
        rows = {row["lv_name"]: row for row in found}
        if self._thin_pool not in rows:
            raise Unavailable(f"the thin pool {self._group.path(self._thin_pool)} is gone")
        pool = rows[self._thin_pool]
        size = int(pool["lv_size"])
        ours = (row for row in rows.values() if row["pool_lv"] == self._thin_pool)
        return PoolUsage(
            size=size,
            used=_written(pool),
            provisioned=sum(
                int(row["lv_size"])
                for row in ours
                if lvm_tags.is_disk(row) and not lvm_tags.is_scratch(row)
            ),
            overcommit=self._overcommit,
            granularity=int(pool["vg_extent_size"]),
            metadata_used=float(pool["metadata_percent"] or 0) / 100,
        )

    def _round_up(self, size: int) -> int:
        extent = self._promises.recent().granularity
        return -(-size // extent) * extent


def _lv(name: str) -> str:
    return names.stem(names.DISK, name)


def _lv_of(origin: Disk | Snapshot) -> str:
    kind = names.DISK if isinstance(origin, Disk) else names.SNAPSHOT
    return names.stem(kind, origin.name)


def _written(row: Row) -> int:
    """Return the bytes that are written of an LV; none are known of one that is not active."""
    return int(int(row["lv_size"]) * float(row["data_percent"] or 0) / 100)


def _called(name: str) -> str:
    return f'disk "{name}"'


def _inherit(disk: Disk, origin: Disk | Snapshot) -> Disk:
    formatted = origin.content is Content.FORMATTED
    return replace(
        disk,
        filesystem=origin.filesystem,
        content=Content.FORMATTED if formatted else Content.RAW,
        fresh_uuid=formatted,
    )
