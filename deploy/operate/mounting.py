"""Which pods have which disks, and where in their containers."""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from controller import workloads
from csi.kubernetes_api import Object
from deploy.operate.disk_cluster import DiskCluster
from deploy.operate.tables import document, table

_HEAD = ("DISK", "NODE", "POD", "CONTAINER", "MOUNT-PATH", "ACCESS")
_WIDE = (*_HEAD, "CLAIM", "SUBPATH")


@dataclass(frozen=True, slots=True)
class Mount:
    """A disk in a container of a pod that runs."""

    disk: str
    node: str
    pod: str
    """`namespace/name`."""
    container: str
    path: str
    read_only: bool
    claim: str
    """The PVC by which the pod has it, in the pod's namespace."""
    sub_path: str
    """The part of the disk that the container sees; empty when it sees all."""

    def document(self) -> dict[str, Any]:
        """Return it as `-o json` shows it."""
        return {
            "disk": self.disk,
            "node": self.node,
            "pod": self.pod,
            "container": self.container,
            "path": self.path,
            "readOnly": self.read_only,
            "claim": self.claim,
            "subPath": self.sub_path or None,
        }


def mounts(cluster: DiskCluster, arguments: argparse.Namespace) -> str:
    """List mounts."""
    found = of_all(cluster)
    if arguments.name:
        cluster.known(arguments.name)
        found = [one for one in found if one.disk == arguments.name]
    if arguments.output in {"json", "yaml"}:
        return document([one.document() for one in found], arguments.output)
    if arguments.output == "name":
        return "".join(f"{pod}\n" for pod in dict.fromkeys(one.pod for one in found))
    if not found:
        return "no mounts\n"
    if arguments.output == "wide":
        return table(_WIDE, [(*_row(one), one.claim, one.sub_path) for one in found])
    return table(_HEAD, [_row(one) for one in found])


def of_all(cluster: DiskCluster) -> list[Mount]:
    """Return the mounts of all disks in pods that run, sorted by disk."""
    disks = {
        str(volume.claim): volume.disk
        for volume in cluster.all_volumes()
        if volume.claim and volume.phase == "Bound"
    }
    pods = cluster.api.list("/api/v1/pods", {"fieldSelector": "status.phase=Running"})
    found = (mount for pod in pods for mount in _of_pod(pod, disks))
    return sorted(found, key=lambda one: (one.disk, one.pod, one.container, one.path))


def _of_pod(pod: Object, disks: dict[str, str]) -> Iterator[Mount]:
    namespace, name, spec = pod["metadata"]["namespace"], pod["metadata"]["name"], pod["spec"]
    claims = workloads.claims_of(pod)
    read_only = {
        one["name"]
        for one in spec.get("volumes") or []
        if one.get("persistentVolumeClaim", {}).get("readOnly")
    }
    sidecars = (one for one in spec.get("initContainers") or [] if one.get("restartPolicy"))
    for container in (*sidecars, *spec["containers"]):
        places = [(one, "mountPath") for one in container.get("volumeMounts") or []]
        places += [(one, "devicePath") for one in container.get("volumeDevices") or []]
        for one, key in places:
            claim = claims.get(one["name"], "")
            disk = disks.get(f"{namespace}/{claim}")
            if disk:
                yield Mount(
                    disk=disk,
                    node=spec.get("nodeName", ""),
                    pod=f"{namespace}/{name}",
                    container=container["name"],
                    path=one[key],
                    read_only=bool(one.get("readOnly")) or one["name"] in read_only,
                    claim=claim,
                    sub_path=one.get("subPath") or one.get("subPathExpr") or "",
                )


def _row(mount: Mount) -> tuple[str, ...]:
    access = "read-only" if mount.read_only else "read-write"
    return (mount.disk, mount.node, mount.pod, mount.container, mount.path, access)
