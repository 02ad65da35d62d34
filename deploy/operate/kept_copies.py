"""Copies of raw devices that stay until the next backup, which then reads only what has changed.

They are snapshots whose names begin in a way that no other's does. Each repository has its own, so
that backups to one do not spoil those to another.
"""

import hashlib
import json
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from csi.disk import Extent
from csi.errors import DiskError
from csi.kubernetes_api import Object
from deploy import console
from deploy.mover.parts import Changes, ranges
from deploy.operate import snapshots
from deploy.operate.disk_cluster import DiskCluster
from deploy.operate.driver import CallFailed, Driver
from deploy.operate.places import Repository
from deploy.operate.snapshots import KEPT

_COMPARED = 2
"""Earlier copies, the newest, whose differences are asked for; a repository may lack the last."""


@dataclass(frozen=True, slots=True)
class KeptCopy:
    """A copy that was cut for a backup."""

    driver: Driver
    snapshot: Object
    """In the words of CSI."""
    earlier: Sequence[Object]
    """Copies with which it can be compared."""

    def changes(self) -> Changes:
        """Ask the driver what is written, and what has changed; raises DiskError."""
        target = self.snapshot["snapshot_id"]
        written = self.driver.control("GetMetadataAllocated", snapshot_id=target)
        since = {}
        for one in self.earlier:
            pair = {"base_snapshot_id": one["snapshot_id"], "target_snapshot_id": target}
            try:
                differ = self.driver.control("GetMetadataDelta", **pair)
            except CallFailed as error:
                console.say(f"note: what has changed since an earlier copy is not known: {error}")
                continue
            since[_key(one)] = ranges(_extents(differ))
        return Changes(_key(self.snapshot), ranges(_extents(written)), since)


@contextmanager
def cut(cluster: DiskCluster, disk: str, place: Repository) -> Iterator[KeptCopy]:
    """Cut a copy of a disk for a backup that the `with` makes; raises DiskError.

    If that succeeds, earlier copies for this repository go, and this one stays; else this one goes.
    """
    earlier = _kept(cluster, disk)
    ours = f"{KEPT}{_digest(str(place))[:8]}-"
    name = f"{ours}{uuid.uuid4().hex[:12]}"
    try:
        request = {"source_volume_id": disk, "name": name}
        snapshot = cluster.driver.control("CreateSnapshot", **request)["snapshot"]
        yield KeptCopy(cluster.driver, snapshot, earlier[-_COMPARED:])
    except BaseException:
        with suppress(DiskError):
            cluster.driver.control("DeleteSnapshot", snapshot_id=name)
        raise
    _delete(cluster, [one for one in earlier if one["snapshot_id"].startswith(ours)])


def remove_all(cluster: DiskCluster, disk: str) -> None:
    """Delete the copies that were kept of a disk."""
    try:
        _delete(cluster, _kept(cluster, disk))
    except DiskError as error:
        console.say(f'warning: whether copies of disk "{disk}" are kept is not known: {error}')


def _kept(cluster: DiskCluster, disk: str) -> list[Object]:
    """Return the copies of a disk, the oldest first."""
    found = [one for one in snapshots.of_disk(cluster, disk) if one["snapshot_id"].startswith(KEPT)]
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


def _delete(cluster: DiskCluster, copies: Sequence[Object]) -> None:
    for one in copies:
        name = one["snapshot_id"]
        try:
            cluster.driver.control("DeleteSnapshot", snapshot_id=name)
        except DiskError as error:
            console.say(
                f"warning: the copy {name}, which nobody needs any more, could not be deleted"
                f" ({error}): kubectl miren disk snapshot delete {name}"
            )
