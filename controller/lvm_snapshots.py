"""Snapshots as thin LVs: cut in an instant, inactive, independent of their origin."""

import contextlib
import time
from collections.abc import Iterator, Sequence

from controller import lvm_errors, lvm_tags, names
from controller.lvm_group import VolumeGroup
from controller.lvm_removal import LvmRemoval
from controller.lvm_stillness import Stillness
from controller.thin_metadata import ThinMetadata
from csi.disk import Content, Disk, Extent, NewSnapshot, Snapshot
from csi.errors import Incompatible, NotFound, disk_not_found, snapshot_not_found


class LvmSnapshots:
    """The snapshots of one volume group."""

    def __init__(
        self, group: VolumeGroup, thin_pool: str, stillness: Stillness, removal: LvmRemoval
    ) -> None:
        """Args: where they live, what holds disks still meanwhile, and what removes LVs."""
        self._group = group
        self._stillness = stillness
        self._metadata = ThinMetadata(group.name, thin_pool)
        self._removal = removal

    def create(self, wanted: Sequence[NewSnapshot]) -> list[Snapshot]:
        """Cut the snapshots that do not exist yet, at one moment, all or none."""
        origins = [self._origin(one) for one in wanted]
        with self._stillness.hold([one.disk for one in wanted]):
            return self._cut_all(wanted, origins)

    def _cut_all(
        self, wanted: Sequence[NewSnapshot], origins: Sequence[Disk | None]
    ) -> list[Snapshot]:
        now = time.time_ns()
        made: list[str] = []
        try:
            result = []
            for one, origin in zip(wanted, origins, strict=True):
                snapshot, new = self._cut(one, origin, now)
                made += [one.name] if new else []
                result.append(snapshot)
        except BaseException:
            self.delete(made)
            raise
        return result

    def _cut(self, wanted: NewSnapshot, origin: Disk | None, now: int) -> tuple[Snapshot, bool]:
        if origin is None:
            return self.get(wanted.name), False
        formatted = origin.content is Content.FORMATTED
        snapshot = Snapshot(
            name=wanted.name,
            disk=wanted.disk,
            size=origin.size,
            created_ns=now,
            group=wanted.group,
            filesystem=origin.filesystem,
            content=Content.FORMATTED if formatted else Content.RAW,
        )
        lv = names.stem(names.SNAPSHOT, wanted.name)
        tags = [word for one in lvm_tags.snapshot_tags(snapshot) for word in ("--addtag", one)]
        source = self._group.path(names.stem(names.DISK, wanted.disk))
        reply = self._group.lvm.call("lvcreate", "-y", "-s", "-pr", "-n", lv, *tags, source)
        if reply.ok:
            return snapshot, True
        if lvm_errors.ALREADY_EXISTS.search(reply.message):
            return self._existing(wanted.name, lv), False
        if lvm_errors.MISSING_LV.search(reply.message):
            raise disk_not_found(wanted.disk)
        raise lvm_errors.failure(("lvcreate", "-s", source), reply.message, f'"{wanted.name}"')

    def _existing(self, name: str, lv: str) -> Snapshot:
        row = self._group.row(lv)
        if row is None or lvm_tags.parse(row["lv_tags"]).get(lvm_tags.SNAPSHOT) != name:
            raise Incompatible(
                f'snapshot "{name}" needs the LV {self._group.path(lv)}, which is not ours'
            )
        return lvm_tags.snapshot_of(row)

    def _origin(self, wanted: NewSnapshot) -> Disk | None:
        """Return the disk to be cut; None if it is gone, but was cut before."""
        row = self._group.row(names.stem(names.DISK, wanted.disk))
        if row is not None and lvm_tags.is_disk(row):
            return lvm_tags.disk_of(row)
        with contextlib.suppress(NotFound):
            self.get(wanted.name)
            return None
        raise disk_not_found(wanted.disk)

    def get(self, name: str) -> Snapshot:
        """Look one snapshot up by its name."""
        row = self._group.row(names.stem(names.SNAPSHOT, name))
        if row is None or not lvm_tags.is_snapshot(row):
            raise snapshot_not_found(name)
        return lvm_tags.snapshot_of(row)

    def list(self) -> list[Snapshot]:
        """List all snapshots, sorted by name."""
        rows = self._group.rows()
        found = [lvm_tags.snapshot_of(row) for row in rows if lvm_tags.is_snapshot(row)]
        return sorted(found, key=lambda snapshot: snapshot.name)

    def delete(self, snapshots: Sequence[str]) -> None:
        """Remove those that exist."""
        for name in snapshots:
            with contextlib.suppress(NotFound):
                self.get(name)
                self._removal.remove(names.stem(names.SNAPSHOT, name))

    def allocated(self, snapshot: Snapshot) -> Iterator[Extent]:
        """Yield the written extents of a snapshot."""
        return self._metadata.allocated(self._thin_id(snapshot), snapshot.size)

    def changed(self, base: Snapshot, target: Snapshot) -> Iterator[Extent]:
        """Yield the extents that differ between two snapshots."""
        size = max(base.size, target.size)
        return self._metadata.changed(self._thin_id(base), self._thin_id(target), size)

    def _thin_id(self, snapshot: Snapshot) -> int:
        row = self._group.row(names.stem(names.SNAPSHOT, snapshot.name))
        if row is None:
            raise snapshot_not_found(snapshot.name)
        return int(row["thin_id"])
