"""Copies of raw devices that stay until the next backup, which then reads only what has changed.

They are snapshots whose names begin in a way that no other's does. Each repository has its own, so
that backups to one do not spoil those to another.
"""

import hashlib
import json
import re
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from csi.disk import Extent
from csi.errors import DiskError
from csi.kubernetes_api import Object
from deploy import console
from deploy.mover.parts import Changes, Ranges, ranges
from deploy.operate import snapshots
from deploy.operate.disk_cluster import DiskCluster
from deploy.operate.driver import Driver
from deploy.operate.places import Repository
from deploy.operate.running import interruptible
from deploy.operate.snapshots import KEPT

_NAME = re.compile(rf"{KEPT}[0-9a-f]{{8}}-[0-9a-f]{{12}}")
_COMPARED = 2
"""Earlier copies, the newest, with which one is compared: the last backup may have failed."""


@dataclass(frozen=True, slots=True)
class KeptCopy:
    """A copy that was cut for a backup."""

    driver: Driver
    snapshot: Object
    """In the words of CSI."""
    earlier: Sequence[Object]
    """Copies with which it can be compared."""

    def changes(self) -> Changes:
        """Ask the driver what is written and what has changed; what it cannot tell is read."""
        size = int(self.snapshot["size_bytes"])
        written: Ranges = ranges([Extent(0, size)])
        target = self.snapshot["snapshot_id"]
        since = {}
        try:
            written = self._asked("GetMetadataAllocated", snapshot_id=target)
            for one in self.earlier:
                pair = {"base_snapshot_id": one["snapshot_id"], "target_snapshot_id": target}
                since[_key(one)] = self._asked("GetMetadataDelta", **pair)
        except DiskError as error:
            console.say(f"note: the driver does not say what is to be read, so all is: {error}")
        return Changes(_key(self.snapshot), written, since)

    def _asked(self, method: str, **request: str) -> Ranges:
        return ranges(_extents(self.driver.control(method, **request)))


@contextmanager
def cut(cluster: DiskCluster, disk: str, place: Repository) -> Iterator[KeptCopy]:
    """Cut a copy of a disk for a backup that the `with` makes; raises DiskError.

    If that succeeds, earlier copies for this repository go, and this one stays; else this one goes.
    """
    interruptible()
    ours = f"{KEPT}{_digest(str(place))[:8]}-"
    earlier = [one for one in _kept(cluster, disk) if one["snapshot_id"].startswith(ours)]
    name = f"{ours}{uuid.uuid4().hex[:12]}"
    try:
        request = {"source_volume_id": disk, "name": name}
        snapshot = cluster.driver.control("CreateSnapshot", **request)["snapshot"]
        yield KeptCopy(cluster.driver, snapshot, earlier[-_COMPARED:])
    except BaseException:
        _delete(cluster, [name])
        raise
    _delete(cluster, [one["snapshot_id"] for one in earlier])


def remove_all(cluster: DiskCluster, disk: str) -> None:
    """Delete the copies that were kept of a disk."""
    try:
        _delete(cluster, [one["snapshot_id"] for one in _kept(cluster, disk)])
    except DiskError as error:
        console.say(f'warning: whether copies of disk "{disk}" are kept is not known: {error}')


def _kept(cluster: DiskCluster, disk: str) -> list[Object]:
    """Return the copies of a disk, the oldest first."""
    found = [one for one in snapshots.of_disk(cluster, disk) if _NAME.fullmatch(one["snapshot_id"])]
    return sorted(found, key=lambda one: str(one["creation_time"]))


def _extents(answer: Object) -> Iterator[Extent]:
    for message in answer["messages"]:
        for one in message.get("block_metadata") or []:
            yield Extent(int(one.get("byte_offset", 0)), int(one["size_bytes"]))


def _key(snapshot: Object) -> str:
    """Return what no other snapshot has, in any cluster: part of its name is random."""
    return _digest(json.dumps([snapshot["snapshot_id"], snapshot["creation_time"]]))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _delete(cluster: DiskCluster, names: Sequence[str]) -> None:
    for name in names:
        try:
            cluster.driver.control("DeleteSnapshot", snapshot_id=name)
        except DiskError as error:
            console.say(
                f"warning: the copy {name}, which nobody needs any more, could not be deleted"
                f" ({error}): kubectl miren disk snapshot delete {name}"
            )
