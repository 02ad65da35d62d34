"""All disks of a cluster, each with what its operator asks about first."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from controller import workloads
from controller.lease import Lease
from controller.workloads import Volume
from csi.kubernetes_api import Object
from csi.wish import CREATED_BY, FILESYSTEM
from deploy.operate.disk_cluster import VOLUMES, DiskCluster
from deploy.operate.figures import Figures


class DiskState(StrEnum):
    """How a disk is, in Miren's words."""

    PROVISIONING = "provisioning"
    """A PersistentVolume stands for it, but no pool has it: its first pod makes it."""
    ATTACHED = "attached"
    """Somebody holds its lease."""
    DETACHED = "detached"
    """Nobody does."""
    DELETING = "deleting"
    """Its PersistentVolume is being deleted."""
    ERROR = "error"
    """Its device or filesystem is damaged."""


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
        }


def of_all(cluster: DiskCluster, figures: Figures) -> list[DiskFacts]:
    """Return the disks that PersistentVolumes stand for, sorted by name."""
    leases = {lease.disk: lease for lease in cluster.leases()}
    found = _facts(cluster.api.list(VOLUMES), leases, figures)
    return sorted(found, key=lambda disk: disk.name)


def _facts(
    volumes: list[Object], leases: Mapping[str, Lease], figures: Figures
) -> Iterator[DiskFacts]:
    for found in volumes:
        volume = workloads.volume_of(found)
        if volume is None:
            continue
        lease = leases.get(volume.disk)
        node = figures.nodes.get(volume.disk, "")
        problems = figures.problems.get(volume.disk, ())
        mode = found["spec"].get("volumeMode")
        yield DiskFacts(
            name=volume.disk,
            volume=volume.name,
            size=figures.sizes.get(volume.disk, volume.capacity),
            used=figures.used.get(volume.disk),
            filesystem="block" if mode == "Block" else volume.wish.get(FILESYSTEM, ""),
            state=_state(volume, lease, figures),
            holder=lease.holder if lease else "",
            claim=_claim(volume),
            node=node or (lease.node if lease and lease.holder else ""),
            created=datetime.fromisoformat(found["metadata"]["creationTimestamp"]),
            created_by=volume.wish.get(CREATED_BY, ""),
            problems=problems,
        )


def _state(volume: Volume, lease: Lease | None, figures: Figures) -> DiskState:
    if volume.deleting:
        return DiskState.DELETING
    if volume.disk in figures.problems:
        return DiskState.ERROR
    if lease and lease.holder:
        return DiskState.ATTACHED
    known = volume.disk in figures.nodes or figures.silent
    return DiskState.DETACHED if known else DiskState.PROVISIONING


def _claim(volume: Volume) -> str:
    return str(volume.claim) if volume.claim and volume.phase == "Bound" else ""
