"""The disk of which a backup is made, as its PersistentVolume tells of it.

Not as the driver does, which is asked by exec: who may do that in its namespace is root on the
nodes, and backups are made every night by somebody who need not be, without --changed-blocks.
"""

from dataclasses import dataclass

from controller import workloads
from controller.workloads import Volume
from csi import local_id
from csi.disk import DEFAULT_FILESYSTEM
from csi.errors import NotFound, Refused
from csi.kubernetes_api import Object
from csi.persistent_volume import COORDINATOR
from csi.wish import FILESYSTEM
from deploy.operate.disk_cluster import VOLUMES, DiskCluster, volume_path


@dataclass(frozen=True, slots=True)
class Subject:
    """A disk."""

    name: str
    volume: str
    """Its PersistentVolume."""
    size: int
    filesystem: str
    """Empty for a raw device."""
    nodes: Object
    """A NodeSelector that its node fits."""

    @property
    def is_block(self) -> bool:
        """Whether it is used as a raw device."""
        return not self.filesystem


def find(cluster: DiskCluster, name: str) -> Subject:
    """Return a disk; raises NotFound, Refused."""
    found, volume = _volume(cluster, name)
    if local_id.is_local(name):
        raise Refused(f'the local disk "{name}" is a folder of its node, of which there is no copy')
    filesystem = volume.wish.get(FILESYSTEM, DEFAULT_FILESYSTEM)
    affinity = found["spec"].get("nodeAffinity") or {}
    return Subject(
        name=name,
        volume=volume.name,
        size=volume.capacity,
        filesystem="" if volume.is_block else filesystem,
        nodes=affinity.get("required") or COORDINATOR.selector(),
    )


def require_block(disk: Subject) -> None:
    """Raise Refused for a disk of which its changed blocks would be asked in vain."""
    if not disk.is_block:
        raise Refused(
            f'disk "{disk.name}" has a filesystem, of which only changed files are read anyway:'
            " --changed-blocks is for raw devices"
        )


def _volume(cluster: DiskCluster, name: str) -> tuple[Object, Volume]:
    # Who may read this one only is not refused.
    try:
        found = cluster.api.get(volume_path(name))
        volume = workloads.volume_of(found)
        if volume and volume.disk == name:
            return found, volume
    except NotFound:
        pass
    for found in cluster.api.list(VOLUMES):
        volume = workloads.volume_of(found)
        if volume and volume.disk == name:
            return found, volume
    cluster.known(name)
    raise NotFound(f'disk "{name}" does not exist')
