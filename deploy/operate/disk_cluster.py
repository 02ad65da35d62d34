"""A cluster's disks, as its objects tell of them."""

import difflib
from dataclasses import dataclass

from controller import workloads
from controller.lease import Lease
from controller.lease_objects import LeaseObjects
from controller.leases import Leases
from controller.workloads import Pod, Reference, Volume, VolumeClaim
from csi import COORDINATOR_LABEL
from csi.errors import Forbidden, NotFound, Refused
from csi.kubernetes_api import KubernetesApi, Object
from csi.object_names import object_name
from deploy.operate.driver import CallFailed, Driver

VOLUMES = "/api/v1/persistentvolumes"


@dataclass(frozen=True, slots=True)
class DiskCluster:
    """The cluster that `api` reaches, with the driver in `namespace`. All verbs raise DiskError."""

    api: KubernetesApi
    namespace: str

    def uid(self) -> str:
        """Return what tells this cluster from others; empty for who may not know that."""
        try:
            found = self.api.get("/api/v1/namespaces/kube-system")
        except Forbidden:
            return ""
        return str(found["metadata"]["uid"])

    @property
    def driver(self) -> Driver:
        """The driver."""
        return Driver(self.api, self.namespace)

    def disk(self, name: str) -> Object:
        """Return a disk as the driver knows it, a Volume of the CSI; raises NotFound."""
        try:
            found = self.driver.control("ControllerGetVolume", volume_id=name)
        except CallFailed as error:
            if error.code != "NOT_FOUND":
                raise
            raise NotFound(
                f'disk "{name}" does not exist; kubectl get pv shows those that do'
            ) from error
        return dict(found["volume"])

    def exists(self, name: str) -> bool:
        """Tell whether there is such a disk."""
        try:
            self.disk(name)
        except NotFound:
            return False
        return True

    def known(self, name: str) -> list[Volume]:
        """Return the PersistentVolumes of a disk; raises NotFound, with what else may be meant.

        For who only looks: it needs no driver that runs.
        """
        volumes = self.all_volumes()
        found = [volume for volume in volumes if volume.disk == name]
        if not found:
            names = {volume.disk for volume in volumes}
            near = difflib.get_close_matches(name, names, n=2, cutoff=0.75)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise NotFound(f'disk "{name}" does not exist{hint}')
        return found

    def volumes(self, disk: str) -> list[Volume]:
        """Return the PersistentVolumes that stand for a disk: one, or none for a moment."""
        return [volume for volume in self.all_volumes() if volume.disk == disk]

    def all_volumes(self) -> list[Volume]:
        """Return the PersistentVolumes of all disks."""
        return [*filter(None, map(workloads.volume_of, self.api.list(VOLUMES)))]

    def claim(self, volume: Volume) -> VolumeClaim | None:
        """Return the claim that has a volume, None when it only is for one that is to come."""
        if volume.claim is None:
            return None
        try:
            claim = workloads.claim_of(self.api.get(claim_path(volume.claim)))
        except NotFound:
            return None
        return claim if volume.claim.uid in {"", claim.reference.uid} else None

    def lease(self, disk: str) -> Lease | None:
        """Return a disk's lease, None when it never had one."""
        return self._store.get(disk)

    def leases(self) -> list[Lease]:
        """Return the leases of all disks that ever had one, sorted by disk."""
        return self._store.list()

    def forget(self, disk: str) -> None:
        """Delete the record of a disk's lease."""
        self._store.forget(disk)

    @property
    def _store(self) -> Leases:
        return Leases(LeaseObjects(self.api, self.namespace))

    def attachments(self, disk: str) -> list[str]:
        """Return the names of the VolumeAttachments of a disk."""
        volumes = {volume.name for volume in self.volumes(disk)}
        return [
            found["metadata"]["name"]
            for found in self.api.list("/apis/storage.k8s.io/v1/volumeattachments")
            if found["spec"]["source"].get("persistentVolumeName") in volumes
        ]

    def pod(self, holder: str) -> Pod | None:
        """Return the pod that a lease's holder names, None when there is none."""
        namespace, _, name = holder.partition("/")
        try:
            found = self.api.get(f"/api/v1/namespaces/{namespace}/pods/{name}")
        except NotFound:
            return None
        return workloads.pod_of(found)

    def node_is_ready(self, name: str) -> bool:
        """Tell whether Kubernetes sees a node; one that it does not know is not ready."""
        try:
            found = self.api.get(f"/api/v1/nodes/{name}")
        except NotFound:
            return False
        conditions = (found.get("status") or {}).get("conditions") or []
        return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)

    def coordinator(self) -> str:
        """Return the node with the coordinator's label; raises Refused without one."""
        found = self.api.list("/api/v1/nodes", {"labelSelector": f"{COORDINATOR_LABEL}=true"})
        if not found:
            raise Refused(
                f"no node has the label {COORDINATOR_LABEL}=true; give it to the node that has the "
                "disks, or name another one with --node"
            )
        return str(found[0]["metadata"]["name"])


def claim_path(claim: Reference) -> str:
    """Return the path of a PersistentVolumeClaim."""
    return f"/api/v1/namespaces/{claim.namespace}/persistentvolumeclaims/{claim.name}"


def volume_path(disk: str) -> str:
    """Return the path of a disk's PersistentVolume, as the driver and the translator name it."""
    return f"{VOLUMES}/{object_name(disk)}"
