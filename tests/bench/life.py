"""The calls that Kubernetes makes for one volume, from creation to a mounted path and back."""

from pathlib import Path

from csi.disk import GIB
from csi.stubs import csi_pb2
from deploy.local_driver import LocalDriver, mount_capability


class Life:
    """One volume's life with one driver."""

    def __init__(self, driver: LocalDriver, name: str, mounts: Path) -> None:
        """Args: mounts: where its staging and target folders go."""
        self._driver = driver
        self._name = name
        self._staging = mounts / f"{name}-staging"
        self._target = mounts / f"{name}-target"
        self._staging.mkdir(parents=True, exist_ok=True)
        self._capability = mount_capability("ext4")

    def create(self) -> None:
        """CreateVolume of 1 GiB."""
        self._driver.controller.CreateVolume(
            csi_pb2.CreateVolumeRequest(
                name=self._name,
                capacity_range=csi_pb2.CapacityRange(required_bytes=GIB),
                volume_capabilities=[self._capability],
            )
        )

    def begin(self) -> None:
        """From nothing to a mounted path: create, publish, stage, publish."""
        self.create()
        self._driver.controller.ControllerPublishVolume(
            csi_pb2.ControllerPublishVolumeRequest(
                volume_id=self._name,
                node_id=self._driver.node_id,
                volume_capability=self._capability,
            )
        )
        self._driver.node.NodeStageVolume(
            csi_pb2.NodeStageVolumeRequest(
                volume_id=self._name,
                staging_target_path=str(self._staging),
                volume_capability=self._capability,
            )
        )
        self._driver.node.NodePublishVolume(
            csi_pb2.NodePublishVolumeRequest(
                volume_id=self._name,
                staging_target_path=str(self._staging),
                target_path=str(self._target),
                volume_capability=self._capability,
            )
        )

    def end(self) -> None:
        """From a mounted path to nothing."""
        self._driver.node.NodeUnpublishVolume(
            csi_pb2.NodeUnpublishVolumeRequest(volume_id=self._name, target_path=str(self._target))
        )
        self._driver.node.NodeUnstageVolume(
            csi_pb2.NodeUnstageVolumeRequest(
                volume_id=self._name, staging_target_path=str(self._staging)
            )
        )
        self._driver.controller.ControllerUnpublishVolume(
            csi_pb2.ControllerUnpublishVolumeRequest(
                volume_id=self._name, node_id=self._driver.node_id
            )
        )
        self.delete()
        self._staging.rmdir()

    def delete(self) -> None:
        """DeleteVolume."""
        self._driver.controller.DeleteVolume(csi_pb2.DeleteVolumeRequest(volume_id=self._name))
