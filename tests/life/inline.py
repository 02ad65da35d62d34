"""A pod with an inline volume of the driver, as kubelet starts and stops it."""

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from csi.stubs import csi_pb2
from deploy.local_driver import MODE, LocalDriver, mount_capability, pod_context

NAMESPACE = "miren-system"


@dataclass(slots=True)
class Pod:
    """One pod with one inline volume, called `disk`."""

    driver: LocalDriver
    kubelet: Path
    """Kubelet's --root-dir."""
    attributes: Mapping[str, str]
    """Its volumeAttributes."""
    read_only: bool = False
    namespace: str = NAMESPACE
    uid: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def volume(self) -> str:
        """The volume's id (kubelet's makeVolumeHandle)."""
        return f"csi-{hashlib.sha256(f'{self.uid}disk'.encode()).hexdigest()}"

    @property
    def folder(self) -> Path:
        """What kubelet has of the pod."""
        return self.kubelet / "pods" / self.uid

    @property
    def target(self) -> Path:
        """What the pod's container sees."""
        return self.folder / "volumes/kubernetes.io~csi/disk/mount"

    @property
    def device(self) -> Path:
        """The block device in it, in block mode."""
        return self.target / "device"

    def start(self) -> "Pod":
        """NodePublishVolume."""
        self.target.parent.mkdir(parents=True, exist_ok=True)
        request = csi_pb2.NodePublishVolumeRequest(
            volume_id=self.volume,
            target_path=str(self.target),
            volume_capability=mount_capability(mode=MODE.SINGLE_NODE_MULTI_WRITER),
            readonly=self.read_only,
            volume_context={
                **pod_context(self.namespace, "mover", self.attributes),
                "csi.storage.k8s.io/pod.uid": self.uid,
                "csi.storage.k8s.io/ephemeral": "true",
            },
        )
        self.driver.node.NodePublishVolume(request)
        return self

    def end(self) -> None:
        """NodeUnpublishVolume; kubelet removes the pod's folder then."""
        self.driver.node.NodeUnpublishVolume(
            csi_pb2.NodeUnpublishVolumeRequest(volume_id=self.volume, target_path=str(self.target))
        )

    def stats(self) -> dict[int, csi_pb2.VolumeUsage]:
        """NodeGetVolumeStats, by unit."""
        request = csi_pb2.NodeGetVolumeStatsRequest(
            volume_id=self.volume, volume_path=str(self.target)
        )
        return {one.unit: one for one in self.driver.node.NodeGetVolumeStats(request).usage}
