"""Which pod a ControllerPublishVolume is for, and whether a holder is gone for good.

external-attacher does not say: a VolumeAttachment is of a node, not of a pod.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

from controller import workloads
from controller.workloads import Pod, Volume
from csi.errors import NotFound
from csi.object_names import object_name

if TYPE_CHECKING:
    # Importing it takes a second and 15 MiB, which only a controller in a cluster has to spend.
    from csi.kubernetes_api import KubernetesApi

NODE = "node/"
"""What the holder's name begins with while no pod is known."""

_VOLUMES = "/api/v1/persistentvolumes"


class Holders(Protocol):
    """Knows who stands behind the calls for a disk."""

    def volume(self, disk: str) -> Volume | None:
        """Return the disk's PersistentVolume, None when there is none; raises Unavailable."""

    def holder(self, volume: Volume, node: str) -> str:
        """Return `namespace/pod`, empty when it is not known; raises Unavailable."""

    def is_gone(self, holder: str, disk: str, node: str) -> bool:
        """Tell whether a holder cannot come back to the disk on its own; raises Unavailable."""


class UnknownHolders:
    """Without a cluster: nothing is known but what the caller says."""

    def volume(self, disk: str) -> Volume | None:  # noqa: ARG002
        """Return nothing."""
        return None

    def holder(self, volume: Volume, node: str) -> str:  # noqa: ARG002
        """Return nothing."""
        return ""

    def is_gone(self, holder: str, disk: str, node: str) -> bool:  # noqa: ARG002
        """Tell nothing: it may be there."""
        return False


class PodHolders:
    """Asks the Kubernetes API."""

    def __init__(self, api: "KubernetesApi") -> None:
        """Args: api: the cluster."""
        self._api = api

    def volume(self, disk: str) -> Volume | None:
        """Return the disk's PersistentVolume, whatever that is called."""
        try:
            likely = [self._api.get(f"{_VOLUMES}/{object_name(disk)}")]
        except NotFound:
            likely = []
        return _with_disk(disk, likely) or _with_disk(disk, self._api.list(_VOLUMES))

    def holder(self, volume: Volume, node: str) -> str:
        """Return the pod on `node` that uses the volume's claim; the oldest, should several do."""
        pods = self._users(volume, node)
        return str(pods[0].reference) if pods else ""

    def is_gone(self, holder: str, disk: str, node: str) -> bool:
        """Tell whether the pod `holder` has ended or is deleted.

        A pod that was deleted by force may still run for a moment; then the disk is still mounted
        on the node, and the node plugin refuses to mount it for another. A holder that is only
        known by its node is gone as soon as the pod is known.
        """
        if holder.startswith(NODE):
            volume = self.volume(disk)
            return bool(volume and self._users(volume, node))
        namespace, _, name = holder.partition("/")
        if not name:
            return False  # somebody else wrote it
        try:
            pod = workloads.pod_of(self._api.get(f"/api/v1/namespaces/{namespace}/pods/{name}"))
        except NotFound:
            return True
        return pod.is_over or pod.node not in {"", node}

    def _users(self, volume: Volume, node: str) -> list[Pod]:
        if volume.claim is None:
            return []
        path = f"/api/v1/namespaces/{volume.claim.namespace}/pods"
        found = self._api.list(path, {"fieldSelector": f"spec.nodeName={node}"})
        return workloads.users(map(workloads.pod_of, found), volume.claim)


def _with_disk(disk: str, found: Iterable[workloads.Object]) -> Volume | None:
    volumes = filter(None, map(workloads.volume_of, found))
    return next((volume for volume in volumes if volume.disk == disk), None)
