"""The CSI Node service: requests in, what the node does, responses out."""

from pathlib import Path
from typing import Any

from csi import TOPOLOGY_KEY, capability, local_id, scratch
from csi.errors import InvalidRequest, NotFound, Refused
from csi.stubs import csi_pb2, csi_pb2_grpc
from node import expansion, health, mounts, paths, staging, usage
from node.devices import Devices
from node.health import Condition
from node.local_disks import LocalDisks, shows
from node.publishing import Publishing
from node.scratch import ScratchVolumes
from node.staging import Staging
from node.usage import Amount, Usage

_RPC = csi_pb2.NodeServiceCapability.RPC
_CAPABILITIES = (
    _RPC.STAGE_UNSTAGE_VOLUME,
    _RPC.GET_VOLUME_STATS,
    _RPC.EXPAND_VOLUME,
    _RPC.SINGLE_NODE_MULTI_WRITER,
    _RPC.VOLUME_MOUNT_GROUP,
    _RPC.GET_VOLUME_HEALTH,
    _RPC.GET_STORAGE_HEALTH,
)


class NodeService(csi_pb2_grpc.NodeServicer):
    """Mounts disks of the pool and local disks on this node; raises csi.errors."""

    def __init__(
        self,
        node_id: str,
        devices: Devices,
        local_disks: LocalDisks,
        scratch_volumes: ScratchVolumes,
        max_volumes: int,
    ) -> None:
        """Make the service.

        Args:
            node_id: this node's name.
            devices: the disks of the pool.
            local_disks: the local disks.
            scratch_volumes: the inline volumes of pods.
            max_volumes: how many disks may be attached here at once; 0 for no limit.
        """
        self._node_id = node_id
        self._devices = devices
        self._local = local_disks
        self._scratch = scratch_volumes
        self._max_volumes = max_volumes
        self._staging = Staging(devices)
        self._publishing = Publishing(devices)

    def NodeStageVolume(
        self, request: csi_pb2.NodeStageVolumeRequest, context: Any
    ) -> csi_pb2.NodeStageVolumeResponse:
        """Mount a disk at the staging path, formatting it if it is new."""
        name = request.volume_id
        path = paths.parse(staging.FIELD, request.staging_target_path)
        wanted = _capability(request, name)
        if local_id.is_local(name):
            self._local.ensure(name)
        else:
            self._staging.stage(name, path, wanted)
        return csi_pb2.NodeStageVolumeResponse()

    def NodeUnstageVolume(
        self, request: csi_pb2.NodeUnstageVolumeRequest, context: Any
    ) -> csi_pb2.NodeUnstageVolumeResponse:
        """Unmount a disk from the staging path and let its device go."""
        name = request.volume_id
        path = paths.parse(staging.FIELD, request.staging_target_path)
        if not local_id.is_local(name):
            self._staging.unstage(name, path)
        return csi_pb2.NodeUnstageVolumeResponse()

    def NodePublishVolume(
        self, request: csi_pb2.NodePublishVolumeRequest, context: Any
    ) -> csi_pb2.NodePublishVolumeResponse:
        """Make a disk appear at the target path."""
        name = request.volume_id
        target = paths.parse("target_path", request.target_path)
        wanted = _capability(request, name)
        if scratch.is_wanted(request.volume_context):
            said, read_only = request.volume_context, request.readonly
            self._scratch.publish(name, target, said, wanted, read_only=read_only)
            return csi_pb2.NodePublishVolumeResponse()
        if local_id.is_local(name):
            self._local.publish(name, target, wanted, read_only=request.readonly)
            return csi_pb2.NodePublishVolumeResponse()
        if not request.staging_target_path:
            raise Refused(f'{staging.FIELD} is missing: disk "{name}" has to be staged first')
        stage = paths.parse(staging.FIELD, request.staging_target_path)
        self._publishing.publish(name, stage, target, wanted, read_only=request.readonly)
        return csi_pb2.NodePublishVolumeResponse()

    def NodeUnpublishVolume(
        self, request: csi_pb2.NodeUnpublishVolumeRequest, context: Any
    ) -> csi_pb2.NodeUnpublishVolumeResponse:
        """Unmount a disk from the target path and remove that."""
        name = request.volume_id
        target = paths.parse("target_path", request.target_path)
        if local_id.is_local(name):
            self._local.unpublish(name, target)
        elif self._scratch.has(name):
            self._scratch.unpublish(name, target)
        else:
            self._publishing.unpublish(name, target)
        return csi_pb2.NodeUnpublishVolumeResponse()

    def NodeGetVolumeStats(
        self, request: csi_pb2.NodeGetVolumeStatsRequest, context: Any
    ) -> csi_pb2.NodeGetVolumeStatsResponse:
        """Say how full a volume is."""
        name = request.volume_id
        path = Path(request.volume_path)
        found = (
            self._local_usage(name, path) if local_id.is_local(name) else self._usage(name, path)
        )
        units = csi_pb2.VolumeUsage
        shown = [_amount(found.space, units.BYTES)]
        if found.inodes is not None:
            shown.append(_amount(found.inodes, units.INODES))
        return csi_pb2.NodeGetVolumeStatsResponse(usage=shown)

    def NodeGetVolumeHealth(
        self, request: csi_pb2.NodeGetVolumeHealthRequest, context: Any
    ) -> csi_pb2.NodeGetVolumeHealthResponse:
        """Say what is wrong with a volume, if anything is."""
        name = request.volume_id
        if local_id.is_local(name):
            self._local.find(name)
            conditions: list[Condition] = []
        else:
            conditions = health.of_disk(self._devices.get(name), self._devices.device(name))
        entries = [
            csi_pb2.VolumeHealth.VolumeHealthEntry(
                status=csi_pb2.VolumeHealthErrorType.Value(one.severity),
                reason=one.reason,
                message=one.message,
            )
            for one in conditions
        ]
        found = csi_pb2.VolumeHealth(volume_id=name, health_statuses=entries)
        return csi_pb2.NodeGetVolumeHealthResponse(volume_health=found)

    def NodeGetStorageHealth(
        self, request: csi_pb2.NodeGetStorageHealthRequest, context: Any
    ) -> csi_pb2.NodeGetStorageHealthResponse:
        """Say what is wrong with the pool, if anything is."""
        kind = csi_pb2.NodeGetStorageHealthResponse
        entries = [
            kind.StorageBackendHealth(
                status=csi_pb2.StorageHealthErrorType.Value(one.severity),
                reason=one.reason,
                message=one.message,
            )
            for one in health.of_storage(self._devices)
        ]
        return kind(backend_health=entries)

    def NodeExpandVolume(
        self, request: csi_pb2.NodeExpandVolumeRequest, context: Any
    ) -> csi_pb2.NodeExpandVolumeResponse:
        """Grow a mounted filesystem to the size of its disk."""
        name = request.volume_id
        path = Path(request.volume_path)
        if local_id.is_local(name):
            raise InvalidRequest(f'local disk "{name}" has no size of its own to expand')
        if request.HasField("volume_capability"):
            capability.parse(request.volume_capability)
        wanted = request.capacity_range
        size = expansion.expand(
            self._devices, name, path, wanted.required_bytes, wanted.limit_bytes
        )
        return csi_pb2.NodeExpandVolumeResponse(capacity_bytes=size)

    def NodeGetCapabilities(
        self, request: csi_pb2.NodeGetCapabilitiesRequest, context: Any
    ) -> csi_pb2.NodeGetCapabilitiesResponse:
        """List what this service can do."""
        kind = csi_pb2.NodeServiceCapability
        return csi_pb2.NodeGetCapabilitiesResponse(
            capabilities=[kind(rpc=_RPC(type=one)) for one in _CAPABILITIES]
        )

    def NodeGetInfo(
        self, request: csi_pb2.NodeGetInfoRequest, context: Any
    ) -> csi_pb2.NodeGetInfoResponse:
        """Say which node this is, and that its disks are here only."""
        return csi_pb2.NodeGetInfoResponse(
            node_id=self._node_id,
            max_volumes_per_node=self._max_volumes,
            accessible_topology=csi_pb2.Topology(segments={TOPOLOGY_KEY: self._node_id}),
        )

    def _usage(self, name: str, path: Path) -> Usage:
        device = self._devices.device(name)
        if device is None:
            self._devices.get(name)
        there = staging.find(device, path) if device and path.is_absolute() else None
        if device is None or there is None:
            raise NotFound(f'disk "{name}" is neither staged nor published at {path}')
        if there.is_node(device):
            return usage.of_device(device)
        return usage.of_filesystem(there.target)

    def _local_usage(self, name: str, path: Path) -> Usage:
        directory = self._local.find(name)
        there = mounts.at(path) if path.is_absolute() else None
        if there is None or not shows(there, directory):
            raise NotFound(f'local disk "{name}" is not published at {path}')
        return usage.of_filesystem(directory)


def _capability(request: Any, name: str) -> capability.Capability:
    return capability.parse(request.volume_capability, local=local_id.is_local(name))


def _amount(amount: Amount, unit: Any) -> csi_pb2.VolumeUsage:
    return csi_pb2.VolumeUsage(
        unit=unit, total=amount.total, available=amount.available, used=amount.used
    )
