"""The words that the life tests are told in: an operator's disks, and instances that use them.

Every verb is one CSI call, or the calls that Kubernetes makes one after the other for it.
"""

import contextlib
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest

from csi.disk import MIB
from csi.stubs import csi_pb2
from deploy.local_driver import LocalDriver, block_capability, mount_capability, pod_context
from tests.life.host import CAP_SYS_RESOURCE, has_capability

SIZE = 512 * MIB
"""What disks have in these tests: room enough for every filesystem's mkfs, xfs wants the most."""

Content = csi_pb2.VolumeContentSource


@dataclass(slots=True)
class Refusal:
    """What a refused call answered, known once it has."""

    sentence: str = ""


@contextlib.contextmanager
def refused(code: grpc.StatusCode, *words: str) -> Iterator[Refusal]:
    """A call inside must be refused with that code, by a sentence that has all these words."""
    refusal = Refusal()
    with pytest.raises(grpc.RpcError) as caught:
        yield refusal
    refusal.sentence = caught.value.details() or ""
    assert caught.value.code() is code, refusal.sentence
    for word in words:
        assert word in refusal.sentence


class Operator:
    """Who makes, copies, grows and deletes disks; what they return is CSI's answer."""

    def __init__(self, driver: LocalDriver) -> None:
        self._driver = driver

    def create(
        self,
        disk: str,
        *,
        size: int = SIZE,
        filesystem: str = "ext4",
        source: Content | None = None,
        parameters: Mapping[str, str] | None = None,
    ) -> csi_pb2.Volume:
        """CreateVolume; without a filesystem it is for use as a raw block device."""
        request = csi_pb2.CreateVolumeRequest(
            name=disk,
            capacity_range=csi_pb2.CapacityRange(required_bytes=size),
            volume_capabilities=[capability(filesystem)],
            volume_content_source=source,
            parameters=parameters or {},
        )
        return self._driver.controller.CreateVolume(request).volume

    def restore(self, disk: str, snapshot: str, *, filesystem: str = "ext4") -> csi_pb2.Volume:
        """CreateVolume from a snapshot, as large as that."""
        return self.create(disk, size=0, filesystem=filesystem, source=from_snapshot(snapshot))

    def clone(self, disk: str, origin: str, *, filesystem: str = "ext4") -> csi_pb2.Volume:
        """CreateVolume from another disk, as large as that."""
        return self.create(disk, size=0, filesystem=filesystem, source=from_disk(origin))

    def snapshot(self, disk: str, name: str) -> csi_pb2.Snapshot:
        """CreateSnapshot."""
        request = csi_pb2.CreateSnapshotRequest(source_volume_id=disk, name=name)
        return self._driver.controller.CreateSnapshot(request).snapshot

    def expand(self, disk: str, size: int) -> int:
        """ControllerExpandVolume; returns the disk's new size."""
        room = csi_pb2.CapacityRange(required_bytes=size)
        request = csi_pb2.ControllerExpandVolumeRequest(volume_id=disk, capacity_range=room)
        return self._driver.controller.ControllerExpandVolume(request).capacity_bytes

    def delete(self, disk: str) -> None:
        """DeleteVolume."""
        self._driver.controller.DeleteVolume(csi_pb2.DeleteVolumeRequest(volume_id=disk))

    def delete_snapshot(self, name: str) -> None:
        """DeleteSnapshot."""
        self._driver.controller.DeleteSnapshot(csi_pb2.DeleteSnapshotRequest(snapshot_id=name))

    def get(self, disk: str) -> csi_pb2.Volume:
        """ControllerGetVolume."""
        request = csi_pb2.ControllerGetVolumeRequest(volume_id=disk)
        return self._driver.controller.ControllerGetVolume(request).volume

    def disks(self) -> list[str]:
        """ListVolumes."""
        entries = self._driver.controller.ListVolumes(csi_pb2.ListVolumesRequest()).entries
        return [entry.volume.volume_id for entry in entries]

    def snapshots(self) -> list[str]:
        """ListSnapshots."""
        entries = self._driver.controller.ListSnapshots(csi_pb2.ListSnapshotsRequest()).entries
        return [entry.snapshot.snapshot_id for entry in entries]


@dataclass(slots=True)
class Instance:
    """One instance of an app: a pod with one disk, which kubelet starts and stops."""

    driver: LocalDriver
    place: Path
    """Where its staging and target paths are."""
    disk: str
    pod: str = "db-0"
    filesystem: str = "ext4"
    """Empty when it uses the raw block device."""
    read_only: bool = False
    attributes: Mapping[str, str] = field(default_factory=dict)
    """volumeAttributes of its PV."""
    flags: Sequence[str] = ()
    mode: "csi_pb2.VolumeCapability.AccessMode.Mode.ValueType" = (
        csi_pb2.VolumeCapability.AccessMode.SINGLE_NODE_SINGLE_WRITER
    )

    @property
    def staging(self) -> Path:
        return self.place / "staging" / self.disk.replace("/", "-")

    @property
    def target(self) -> Path:
        """What its container sees: a directory, or the device."""
        return self.place / "pods" / self.pod / self.disk.replace("/", "-")

    @property
    def file(self) -> Path:
        """Where `write` writes and `read` reads: a file on the filesystem, or the raw device."""
        return self.target / "data" if self.filesystem else self.target

    @property
    def grows_in_use(self) -> bool:
        """Whether it can grow while it runs; ext4 only where root has all of its rights."""
        return self.filesystem != "ext4" or has_capability(CAP_SYS_RESOURCE)

    def deploy(self) -> "Instance":
        """From a pod that is scheduled to its disk at the target path."""
        self.attach()
        self.stage()
        self.publish()
        return self

    def stop(self) -> None:
        """From a running pod to a free disk."""
        self.unpublish()
        self.unstage()
        self.detach()

    def attach(self) -> csi_pb2.ControllerPublishVolumeResponse:
        """ControllerPublishVolume."""
        request = csi_pb2.ControllerPublishVolumeRequest(
            volume_id=self.disk,
            node_id=self.driver.node_id,
            volume_capability=self._capability(),
            readonly=self.read_only,
            volume_context=pod_context("default", self.pod, self.attributes),
        )
        return self.driver.controller.ControllerPublishVolume(request)

    def stage_request(self) -> csi_pb2.NodeStageVolumeRequest:
        self.staging.mkdir(parents=True, exist_ok=True)
        return csi_pb2.NodeStageVolumeRequest(
            volume_id=self.disk,
            staging_target_path=str(self.staging),
            volume_capability=self._capability(),
            volume_context=self.attributes,
        )

    def stage(self) -> None:
        """NodeStageVolume."""
        self.driver.node.NodeStageVolume(self.stage_request())

    def publish(self) -> None:
        """NodePublishVolume."""
        self.target.parent.mkdir(parents=True, exist_ok=True)
        request = csi_pb2.NodePublishVolumeRequest(
            volume_id=self.disk,
            staging_target_path=str(self.staging),
            target_path=str(self.target),
            volume_capability=self._capability(),
            readonly=self.read_only,
            volume_context=pod_context("default", self.pod, self.attributes),
        )
        self.driver.node.NodePublishVolume(request)

    def unpublish(self) -> None:
        """NodeUnpublishVolume."""
        request = csi_pb2.NodeUnpublishVolumeRequest(
            volume_id=self.disk, target_path=str(self.target)
        )
        self.driver.node.NodeUnpublishVolume(request)

    def unstage(self) -> None:
        """NodeUnstageVolume."""
        request = csi_pb2.NodeUnstageVolumeRequest(
            volume_id=self.disk, staging_target_path=str(self.staging)
        )
        self.driver.node.NodeUnstageVolume(request)

    def detach(self) -> None:
        """ControllerUnpublishVolume."""
        request = csi_pb2.ControllerUnpublishVolumeRequest(
            volume_id=self.disk, node_id=self.driver.node_id
        )
        self.driver.controller.ControllerUnpublishVolume(request)

    def expand(self, size: int) -> None:
        """NodeExpandVolume."""
        request = csi_pb2.NodeExpandVolumeRequest(
            volume_id=self.disk,
            volume_path=str(self.target),
            staging_target_path=str(self.staging),
            capacity_range=csi_pb2.CapacityRange(required_bytes=size),
            volume_capability=self._capability(),
        )
        self.driver.node.NodeExpandVolume(request)

    def stats(self) -> dict[int, csi_pb2.VolumeUsage]:
        """NodeGetVolumeStats, by unit."""
        request = csi_pb2.NodeGetVolumeStatsRequest(
            volume_id=self.disk, volume_path=str(self.target), staging_target_path=str(self.staging)
        )
        usage = self.driver.node.NodeGetVolumeStats(request).usage
        return {one.unit: one for one in usage}

    def write(self, data: bytes, at: int = 0) -> None:
        """Write as a database does: it is on the disk when this returns."""
        descriptor = os.open(self.file, os.O_WRONLY | (os.O_CREAT if self.filesystem else 0))
        try:
            assert os.pwrite(descriptor, data, at) == len(data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def read(self, size: int, at: int = 0) -> bytes:
        with self.file.open("rb") as file:
            file.seek(at)
            return file.read(size)

    def uuid(self) -> str:
        """The UUID of the mounted filesystem."""
        found = subprocess.run(
            ["findmnt", "--noheadings", "--first-only", "--output", "UUID", self.target],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return found.stdout.strip()

    def _capability(self) -> csi_pb2.VolumeCapability:
        if not self.filesystem:
            return block_capability(self.mode)
        return mount_capability(self.filesystem, mode=self.mode, flags=self.flags)


def capability(filesystem: str) -> csi_pb2.VolumeCapability:
    """A mounted filesystem for one writer, or the raw block device when there is none."""
    return mount_capability(filesystem) if filesystem else block_capability()


def from_snapshot(name: str) -> Content:
    return Content(snapshot=Content.SnapshotSource(snapshot_id=name))


def from_disk(name: str) -> Content:
    return Content(volume=Content.VolumeSource(volume_id=name))
