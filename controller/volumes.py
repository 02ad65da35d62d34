"""Disks in the words of CSI: the Volume message, its context, and what is compatible with it."""

from collections.abc import Iterable, Mapping

from controller.parameters import KUBERNETES, PROVIDER
from controller.topology import topology
from csi import capability
from csi.capability import Capability
from csi.disk import DEFAULT_LEASE_TIMEOUT, Disk, Source, SourceKind
from csi.duration import format_duration, parse_duration
from csi.errors import InvalidRequest
from csi.stubs import csi_pb2
from csi.wish import CREATED_BY, FILESYSTEM, LEASE_TIMEOUT, READ_ONLY, SIZE

_FOREIGN = (SIZE, READ_ONLY, PROVIDER, "storage.kubernetes.io/csiProvisionerIdentity")
"""Keys of a PV's volumeAttributes that say nothing about the disk as it is."""


def context_of(disk: Disk) -> dict[str, str]:
    """Return the volume_context, the same for a disk wherever and whenever it is reported."""
    context = {FILESYSTEM: disk.filesystem}
    if disk.lease_timeout != DEFAULT_LEASE_TIMEOUT:
        context[LEASE_TIMEOUT] = format_duration(disk.lease_timeout)
    if disk.created_by:
        context[CREATED_BY] = disk.created_by
    return context


def volume_of(disk: Disk) -> csi_pb2.Volume:
    """Return a disk as a Volume message."""
    return csi_pb2.Volume(
        volume_id=disk.name,
        capacity_bytes=disk.size,
        volume_context=context_of(disk),
        content_source=_content_source(disk.source) if disk.source else None,
        accessible_topology=[topology(disk.node)],
    )


def parse_source(message: csi_pb2.VolumeContentSource) -> Source:
    """Return what a new disk is to be a copy of; raises InvalidRequest when it is not said."""
    kind = message.WhichOneof("type")
    name = message.snapshot.snapshot_id if kind == "snapshot" else message.volume.volume_id
    if kind is None or not name:
        raise InvalidRequest("volume_content_source names neither a snapshot_id nor a volume_id")
    return Source(SourceKind.SNAPSHOT if kind == "snapshot" else SourceKind.DISK, name)


def parse_capabilities(messages: Iterable[csi_pb2.VolumeCapability]) -> list[Capability]:
    """Check all capabilities of a miren disk; raises InvalidRequest for the first bad one."""
    return [capability.parse(message) for message in messages]


def context_mismatch(disk: Disk, context: Mapping[str, str]) -> str:
    """Say where a volume_context is not the disk's, empty when it is.

    Keys that are left out are fine, as are those of a PV that only matter for creation.
    """
    own = {LEASE_TIMEOUT: format_duration(disk.lease_timeout), CREATED_BY: "", **context_of(disk)}
    for key, value in sorted(context.items()):
        if key in _FOREIGN or key.startswith(KUBERNETES):
            continue
        if key not in own:
            return f'volume_context has "{key}", which disk "{disk.name}" knows nothing of'
        if own[key] != value and not _same_duration(key, own[key], value):
            return f'volume_context says {key} "{value}", disk "{disk.name}" has "{own[key]}"'
    return ""


def _same_duration(key: str, one: str, other: str) -> bool:
    try:
        return key == LEASE_TIMEOUT and parse_duration(one) == parse_duration(other)
    except ValueError:
        return False


def _content_source(source: Source) -> csi_pb2.VolumeContentSource:
    kinds = csi_pb2.VolumeContentSource
    if source.kind is SourceKind.SNAPSHOT:
        return kinds(snapshot=kinds.SnapshotSource(snapshot_id=source.name))
    return kinds(volume=kinds.VolumeSource(volume_id=source.name))
