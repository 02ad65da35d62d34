"""The CSI GroupController service: snapshots of several disks, cut at one moment.

The pool keeps no groups, only snapshots that carry a group's name. How many belong together is
part of each member's name, so that a group of which a killed call left only some is never taken
for a smaller one.
"""

import hashlib
import re
from collections.abc import Sequence
from typing import Any

from controller import parameters, snapshots
from controller.nodes import Nodes
from csi.disk import NewSnapshot, Snapshot
from csi.errors import Incompatible, InvalidRequest, NotFound
from csi.stubs import csi_pb2, csi_pb2_grpc

_SLUG = 40
_MEMBER = re.compile(r"group-(?:[a-z0-9-]+-)?of([0-9]+)-[0-9a-f]{16}")


class GroupControllerService(csi_pb2_grpc.GroupControllerServicer):
    """Group snapshots of disks on one node."""

    def __init__(self, nodes: Nodes) -> None:
        """Args: nodes: of disks and snapshots."""
        self._nodes = nodes

    def GroupControllerGetCapabilities(
        self, request: csi_pb2.GroupControllerGetCapabilitiesRequest, context: Any
    ) -> csi_pb2.GroupControllerGetCapabilitiesResponse:
        """Say that group snapshots are made, deleted and looked up."""
        capability = csi_pb2.GroupControllerServiceCapability
        rpc = capability.RPC(type=capability.RPC.CREATE_DELETE_GET_VOLUME_GROUP_SNAPSHOT)
        return csi_pb2.GroupControllerGetCapabilitiesResponse(capabilities=[capability(rpc=rpc)])

    def CreateVolumeGroupSnapshot(
        self, request: csi_pb2.CreateVolumeGroupSnapshotRequest, context: Any
    ) -> csi_pb2.CreateVolumeGroupSnapshotResponse:
        """Cut a group, or return the one of that name if it is of the same disks."""
        parameters.parse_none(request.parameters, "group snapshot")
        disks = sorted(request.source_volume_ids)
        _check_sources(disks)
        members = self._members(request.name)
        if members and not is_complete(members):
            self._nodes.delete_snapshots([one.name for one in members])
            members = []
        if not members:
            wanted = (_member(request.name, disk, len(disks)) for disk in disks)
            members = self._nodes.create_snapshots(list(wanted))
        found = sorted(one.disk for one in members)
        if found != disks:
            raise Incompatible(
                f'group snapshot "{request.name}" exists, but of the disks '
                f"{_listed(found)}, not {_listed(disks)}"
            )
        return csi_pb2.CreateVolumeGroupSnapshotResponse(
            group_snapshot=self._message(request.name, members)
        )

    def DeleteVolumeGroupSnapshot(
        self, request: csi_pb2.DeleteVolumeGroupSnapshotRequest, context: Any
    ) -> csi_pb2.DeleteVolumeGroupSnapshotResponse:
        """Delete a group and all of its snapshots; fine if there is none."""
        members = self._members(request.group_snapshot_id)
        if members:
            _check_members(request.group_snapshot_id, members, request.snapshot_ids)
            self._nodes.delete_snapshots([one.name for one in members])
        return csi_pb2.DeleteVolumeGroupSnapshotResponse()

    def GetVolumeGroupSnapshot(
        self, request: csi_pb2.GetVolumeGroupSnapshotRequest, context: Any
    ) -> csi_pb2.GetVolumeGroupSnapshotResponse:
        """Return a group whose snapshots are all there."""
        name = request.group_snapshot_id
        members = self._members(name)
        if not members or not is_complete(members):
            raise NotFound(f'group snapshot "{name}" does not exist')
        _check_members(name, members, request.snapshot_ids)
        return csi_pb2.GetVolumeGroupSnapshotResponse(group_snapshot=self._message(name, members))

    def _members(self, group: str) -> list[Snapshot]:
        return [one for one in self._nodes.snapshots() if one.group == group]

    def _message(self, name: str, members: Sequence[Snapshot]) -> csi_pb2.VolumeGroupSnapshot:
        return csi_pb2.VolumeGroupSnapshot(
            group_snapshot_id=name,
            snapshots=[snapshots.message_of(one) for one in members],
            creation_time=snapshots.timestamp(min(one.created_ns for one in members)),
            ready_to_use=True,
        )


def member_name(group: str, disk: str, size: int) -> str:
    """Return the name of the snapshot of `disk` in a group of `size` snapshots.

    It is shorter than CSI's 128 bytes, however long the names of the group and the disk are.
    """
    slug = re.sub(r"[^a-z0-9]+", "-", group.lower())[:_SLUG].strip("-")
    digest = hashlib.sha256(f"{group}\0{disk}".encode()).hexdigest()[:16]
    return "-".join(part for part in ("group", slug, f"of{size}", digest) if part)


def is_complete(members: Sequence[Snapshot]) -> bool:
    """Whether no snapshot of a group is missing."""
    return all(_size(one.name) == len(members) for one in members)


def _size(name: str) -> int:
    found = _MEMBER.fullmatch(name)
    return int(found[1]) if found else 0


def _member(group: str, disk: str, size: int) -> NewSnapshot:
    return NewSnapshot(name=member_name(group, disk, size), disk=disk, group=group)


def _check_sources(disks: Sequence[str]) -> None:
    for disk, following in zip(disks, [*disks[1:], None], strict=True):
        if not disk:
            raise InvalidRequest("source_volume_ids has an empty volume id")
        if disk == following:
            raise InvalidRequest(f'source_volume_ids names disk "{disk}" more than once')
        snapshots.refuse_local(disk)


def _check_members(group: str, members: Sequence[Snapshot], given: Sequence[str]) -> None:
    """Refuse a list of snapshots that are not a group's (spec, "Snapshot list mismatch")."""
    own = {one.name for one in members}
    if not given:
        raise InvalidRequest(f'snapshot_ids is missing; group snapshot "{group}" is {_listed(own)}')
    missing = own - set(given)
    # Of a group that a killed call deleted in part, the list still has what is gone.
    foreign = set(given) - own if is_complete(members) else set()
    if missing or foreign:
        wrong = f"lacks {_listed(missing)}" if missing else f"has {_listed(foreign)} besides"
        raise InvalidRequest(f'snapshot_ids is not what group snapshot "{group}" is: it {wrong}')


def _listed(names: Sequence[str] | set[str]) -> str:
    return ", ".join(f'"{name}"' for name in sorted(names))
