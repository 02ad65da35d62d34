"""All disks of a cluster, each with what its operator asks about first."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from controller import workloads
from controller.lease import Lease
from controller.workloads import Volume
from csi.kubernetes_api import Object
from csi.wish import CREATED_BY, FILESYSTEM
from deploy.operate.disk_cluster import VOLUMES, DiskCluster
from deploy.operate.disk_state import BLOCK, DiskState
from deploy.operate.figures import DiskFigures, Figures
from deploy.operate.last_backup import LastBackup


@dataclass(frozen=True, slots=True)
class DiskFacts:
    """One disk. What is not known is None or empty."""

    name: str
    volume: str
    """Its PersistentVolume."""
    size: int
    used: int | None
    filesystem: str
    state: DiskState
    holder: str
    claim: str
    """`namespace/name` of the PVC that has it."""
    node: str
    created: datetime
    created_by: str
    problems: tuple[str, ...]
    last_backup: LastBackup | None = None

    def document(self) -> dict[str, Any]:
        """Return it as `-o json` shows it; docs/disk.md explains the keys."""
        return {
            "name": self.name,
            "persistentVolume": self.volume,
            "sizeBytes": self.size,
            "usedBytes": self.used,
            "filesystem": self.filesystem or None,
            "state": str(self.state),
            "holder": self.holder or None,
            "claim": self.claim or None,
            "node": self.node or None,
            "created": self.created.isoformat().replace("+00:00", "Z"),
            "createdBy": self.created_by or None,
            "problems": [*self.problems],
            "lastBackup": self.last_backup.document() if self.last_backup else None,
        }


def of_all(cluster: DiskCluster, figures: Figures, selector: str = "") -> list[DiskFacts]:
    """Return the disks that PersistentVolumes stand for, sorted by name.

    `selector` is one of Kubernetes' label selectors; it chooses among the PersistentVolumes.
    """
    leases = {lease.disk: lease for lease in cluster.leases()}
    query = {"labelSelector": selector} if selector else {}
    found = _facts(cluster.api.list(VOLUMES, query), leases, figures)
    return sorted(found, key=lambda disk: disk.name)


def _facts(
    volumes: list[Object], leases: Mapping[str, Lease], figures: Figures
) -> Iterator[DiskFacts]:
    for found in volumes:
        volume = workloads.volume_of(found)
        if volume is None:
            continue
        lease = leases.get(volume.disk)
        told = figures.disks.get(volume.disk)
        yield DiskFacts(
            name=volume.disk,
            volume=volume.name,
            size=told.size if told else volume.capacity,
            used=told.used if told else None,
            filesystem=BLOCK if volume.is_block else volume.wish.get(FILESYSTEM, ""),
            state=_state(volume, lease, told, is_known=bool(told or figures.silent)),
            holder=lease.holder if lease else "",
            claim=_claim(volume),
            node=told.node if told else lease.node if lease and lease.holder else "",
            created=datetime.fromisoformat(found["metadata"]["creationTimestamp"]),
            created_by=volume.wish.get(CREATED_BY, ""),
            problems=told.problems if told else (),
            last_backup=LastBackup.of_volume(found),
        )


def _state(
    volume: Volume, lease: Lease | None, told: DiskFigures | None, *, is_known: bool
) -> DiskState:
    if volume.deleting:
        return DiskState.DELETING
    if told and told.problems:
        return DiskState.ERROR
    if lease and lease.holder:
        return DiskState.ATTACHED
    return DiskState.DETACHED if is_known else DiskState.PROVISIONING


def _claim(volume: Volume) -> str:
    return str(volume.claim) if volume.claim and volume.phase == "Bound" else ""
