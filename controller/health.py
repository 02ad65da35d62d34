"""What is wrong with disks, as far as the controller can tell (CSI 1.13, VolumeHealth, alpha).

Only what is looked at is reported: how full the pool is, whether it answers, and whether a disk in
use still has its filesystem. A disk without an entry has no known problem.
"""

from controller.leases import Leases
from controller.nodes import Nodes
from controller.pages import Page, page
from csi import fullness
from csi.disk import Content, Disk, PoolUsage
from csi.errors import Unavailable
from csi.stubs import csi_pb2

Entry = csi_pb2.VolumeHealth.VolumeHealthEntry


class Health:
    """Looks at disks and their pool."""

    def __init__(self, nodes: Nodes, leases: Leases) -> None:
        """Args: nodes: of the disks; leases: tells which ones are in use."""
        self._nodes = nodes
        self._leases = leases

    def get(self, name: str) -> csi_pb2.VolumeHealth:
        """Return the health of one disk; raises NotFound.

        When the pool does not answer that is the answer, whether or not it has such a disk.
        """
        try:
            disk = self._nodes.get(name)
            entries = [
                *_of_pool(self._nodes.usage(disk.node)),
                *self._of_disk(disk, self._in_use()),
            ]
        except Unavailable as error:
            entries = [_entry(csi_pb2.INACCESSIBLE, "PoolUnavailable", str(error))]
        return csi_pb2.VolumeHealth(volume_id=name, health_statuses=entries)

    def ailing(self, *, token: str, limit: int) -> Page[csi_pb2.VolumeHealth]:
        """Return a page of the disks that have problems; raises BadToken."""
        in_use, disks = self._in_use(), self._nodes.disks()
        shared = {node: _of_pool(self._nodes.usage(node)) for node in {disk.node for disk in disks}}
        found = (
            csi_pb2.VolumeHealth(
                volume_id=disk.name,
                health_statuses=[*shared[disk.node], *self._of_disk(disk, in_use)],
            )
            for disk in disks
        )
        sick = [one for one in found if one.health_statuses]
        return page("health", sick, lambda one: one.volume_id, token=token, limit=limit)

    def _in_use(self) -> frozenset[str]:
        return frozenset(lease.disk for lease in self._leases.list() if lease.holder)

    def _of_disk(self, disk: Disk, in_use: frozenset[str]) -> list[Entry]:
        # Idle disks are looked at when they are staged; reading thousands of them helps nobody.
        if disk.content is not Content.FORMATTED or disk.name not in in_use:
            return []
        if not self._nodes.on(disk.node).has_lost_filesystem(disk.name):
            return []
        lost = f'disk "{disk.name}" was formatted as {disk.filesystem}, which is not on it any more'
        return [_entry(csi_pb2.DATA_LOSS, "FilesystemMissing", lost)]


def _of_pool(usage: PoolUsage) -> list[Entry]:
    entries = []
    share = fullness.share(usage.used, usage.size)
    if share >= fullness.ALMOST_FULL:
        told = (
            f"the pool has written {usage.used} of {usage.size} bytes ({share:.0%}); "
            "writes fail when it is full: extend it, or delete disks or snapshots"
        )
        entries.append(_entry(csi_pb2.DEGRADED, "PoolAlmostFull", told))
    if usage.metadata_used >= fullness.ALMOST_FULL:
        told = (
            f"the pool's metadata space is {usage.metadata_used:.0%} full; "
            "writes fail when it is full: extend it (lvextend --poolmetadatasize)"
        )
        entries.append(_entry(csi_pb2.DEGRADED, "PoolMetadataAlmostFull", told))
    return entries


def _entry(
    status: csi_pb2.VolumeHealthErrorType.ValueType, reason: str, message: str
) -> csi_pb2.VolumeHealth.VolumeHealthEntry:
    return Entry(status=status, reason=reason, message=message)
