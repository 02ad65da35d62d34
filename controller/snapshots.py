"""Snapshots of single disks, and their place in the words of CSI."""

from google.protobuf.timestamp_pb2 import Timestamp

from controller import parameters
from controller.nodes import Nodes
from controller.pages import Page, page
from controller.topology import allowed, topology
from csi import local_id
from csi.disk import NewSnapshot, Snapshot
from csi.errors import Incompatible, InvalidRequest, NotFound
from csi.stubs import csi_pb2


class Snapshots:
    """Cuts, finds and deletes snapshots."""

    def __init__(self, nodes: Nodes) -> None:
        """Args: nodes: of disks and snapshots."""
        self._nodes = nodes

    def create(self, request: csi_pb2.CreateSnapshotRequest) -> Snapshot:
        """Cut a snapshot, or return the one of that name if it is of the same disk.

        Raises:
            InvalidRequest: a parameter is unknown, or the disk is a local one.
            NotFound: the disk does not exist.
            Incompatible: the snapshot exists, but of another disk or as part of a group.
            PoolFull: no room, or it must not be where pools are.
        """
        parameters.parse_none(request.parameters, "snapshot")
        refuse_local(request.source_volume_id)
        requirement, what = request.accessibility_requirements, f'snapshot "{request.name}"'
        allowed(self._nodes.names(), requirement, what)
        wanted = NewSnapshot(name=request.name, disk=request.source_volume_id)
        try:
            (found,) = self._nodes.create_snapshots([wanted])
        except NotFound:
            # The disk may have been deleted since a first call, which this one repeats.
            existing = self._find(wanted.name)
            if existing is None:
                raise
            found = existing
        if found.group:
            raise Incompatible(
                f'snapshot "{found.name}" exists, but as part of group snapshot "{found.group}"'
            )
        if found.disk != wanted.disk:
            raise Incompatible(
                f'snapshot "{found.name}" exists, but of disk "{found.disk}", not "{wanted.disk}"'
            )
        return found

    def delete(self, name: str) -> None:
        """Delete a snapshot; fine if there is none.

        Raises InvalidRequest when it belongs to a group (spec, "Snapshot is part of a group").
        """
        found = self._find(name)
        if found is None:
            return
        if found.group:
            raise InvalidRequest(
                f'snapshot "{name}" is part of group snapshot "{found.group}"; '
                "delete that with DeleteVolumeGroupSnapshot"
            )
        self._nodes.delete_snapshots([name])

    def list(self, request: csi_pb2.ListSnapshotsRequest) -> Page[Snapshot]:
        """Return a page of the snapshots that the request's filters let through; raises BadToken.

        Snapshots and disks that do not exist make empty lists.
        """
        if request.snapshot_id:
            one = self._find(request.snapshot_id)
            found = [one] if one else []
        else:
            found = self._nodes.snapshots()
        disk = request.source_volume_id
        return page(
            "snapshot",
            [snapshot for snapshot in found if disk in {"", snapshot.disk}],
            lambda snapshot: snapshot.name,
            token=request.starting_token,
            limit=request.max_entries,
        )

    def get(self, name: str) -> Snapshot:
        """Return a snapshot; raises NotFound."""
        return self._nodes.get_snapshot(name)

    def _find(self, name: str) -> Snapshot | None:
        try:
            return self._nodes.get_snapshot(name)
        except NotFound:
            return None


def refuse_local(volume_id: str) -> None:
    """Raise InvalidRequest when a volume is a local disk, which has no snapshots."""
    if local_id.is_local(volume_id):
        raise InvalidRequest(
            f'the local disk "{volume_id}" has no snapshots: it is a folder on the coordinator; '
            "copy it to keep its files"
        )


def message_of(snapshot: Snapshot) -> csi_pb2.Snapshot:
    """Return a snapshot as a Snapshot message; it can be used as soon as it is cut."""
    return csi_pb2.Snapshot(
        snapshot_id=snapshot.name,
        source_volume_id=snapshot.disk,
        size_bytes=snapshot.size,
        creation_time=timestamp(snapshot.created_ns),
        ready_to_use=True,
        group_snapshot_id=snapshot.group,
        accessible_topology=[topology(snapshot.node)],
    )


def timestamp(nanoseconds: int) -> Timestamp:
    """Return a time as protobuf has it; nanoseconds since the epoch."""
    seconds, nanos = divmod(nanoseconds, 10**9)
    return Timestamp(seconds=seconds, nanos=nanos)
