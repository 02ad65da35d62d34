"""Snapshots as thin LVs: cut in an instant, inactive, independent of their origin."""

import contextlib
import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from controller import lvm_errors, lvm_tags, names
from controller.lvm_cut import Cutter
from controller.lvm_group import VolumeGroup
from controller.lvm_removal import LvmRemoval
from controller.lvm_repair import LvmRepair
from controller.lvm_session import Row
from controller.thin_metadata import ThinMetadata
from csi.disk import Content, Disk, Extent, NewSnapshot, Snapshot
from csi.errors import (
    Incompatible,
    NotFound,
    Unavailable,
    disk_not_found,
    snapshot_not_found,
)

log = logging.getLogger(__name__)


class LvmSnapshots:
    """The snapshots of one volume group."""

    def __init__(
        self,
        group: VolumeGroup,
        metadata: ThinMetadata,
        cutter: Cutter,
        repair: LvmRepair,
        removal: LvmRemoval,
    ) -> None:
        """Args: where they live, what reads, cuts, makes and removes them."""
        self._group = group
        self._metadata = metadata
        self._cutter = cutter
        self._repair = repair
        self._removal = removal

    def create(self, wanted: Sequence[NewSnapshot]) -> list[Snapshot]:
        """Cut the snapshots that do not exist yet, at one moment, all or none."""
        origins = [self._origin(one) for one in wanted]
        made: list[str] = []
        try:
            with self._cutter.still([one.disk for one in wanted]):
                return self._cut(list(zip(wanted, origins, strict=True)), made)
        except BaseException:
            for name in made:
                self._remove(name)
            raise

    def _cut(
        self, wanted: Sequence[tuple[NewSnapshot, Disk | None]], made: list[str]
    ) -> list[Snapshot]:
        """Cut, and tell in `made` which snapshots are new."""
        now = time.time_ns() if len(wanted) == 1 else 0
        snapshots = []
        for one, origin in wanted:
            snapshot, new = self._lvcreate(one, origin, now)
            made += [one.name] if new else []
            snapshots.append(snapshot)
        uncut = {one.name: one.disk for one in snapshots if not one.created_ns}
        if not uncut:
            return snapshots
        moment = self._cutter.cut(uncut)
        self._set_moment(uncut, moment)
        return [replace(one, created_ns=one.created_ns or moment) for one in snapshots]

    def _set_moment(self, snapshots: Iterable[str], moment: int) -> None:
        paths = [self._group.path(names.stem(names.SNAPSHOT, name)) for name in snapshots]
        tag = lvm_tags.tag(lvm_tags.TIME, str(moment))
        reply = self._group.lvm.call("lvchange", "--addtag", tag, *paths)
        if lvm_errors.MISSING_LV.search(reply.message):
            raise Unavailable("a snapshot was removed while it was cut; try again")
        self._group.expect("the snapshots", ("lvchange", *paths), reply)

    def _lvcreate(
        self, wanted: NewSnapshot, origin: Disk | None, now: int
    ) -> tuple[Snapshot, bool]:
        """Return the snapshot, and whether it is new; it has not been cut if `now` is 0."""
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
        reply = self._repair.lvcreate("-y", "-s", "-pr", "-n", lv, *tags, source)
        if reply.ok:
            return snapshot, True
        if lvm_errors.ALREADY_EXISTS.search(reply.message):
            row = self._existing(wanted.name, lv)
            if not lvm_tags.is_uncut(row):
                return lvm_tags.snapshot_of(row), False
            self._remove(wanted.name)
            return self._lvcreate(wanted, origin, now)
        if lvm_errors.MISSING_LV.search(reply.message):
            raise disk_not_found(wanted.disk)
        raise lvm_errors.failure(("lvcreate", "-s", source), reply.message, f'"{wanted.name}"')

    def _existing(self, name: str, lv: str) -> Row:
        row = self._group.row(lv)
        if row is None or lvm_tags.parse(row["lv_tags"]).get(lvm_tags.SNAPSHOT) != name:
            raise Incompatible(
                f'snapshot "{name}" needs the LV {self._group.path(lv)}, which is not ours'
            )
        return row

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
                self._remove(name)

    def remove_uncut(self) -> None:
        """Remove what a killed driver has not come to cut, and the rest of such groups."""
        rows = [(row, lvm_tags.parse(row["lv_tags"])) for row in self._group.rows()]
        ours = [(row, facts) for row, facts in rows if lvm_tags.SNAPSHOT in facts]
        groups = {facts.get(lvm_tags.GROUP) for row, facts in ours if lvm_tags.is_uncut(row)}
        for row, facts in ours:
            if lvm_tags.is_uncut(row) or facts.get(lvm_tags.GROUP) in groups - {None}:
                name = facts[lvm_tags.SNAPSHOT]
                log.warning('removing snapshot "%s", whose group was never cut', name)
                self._remove(name)

    def _remove(self, name: str) -> None:
        with contextlib.suppress(NotFound):
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
