"""Checks that hold for every request: required fields, sizes, banned characters, no negatives.

Rules of CSI v1.13: "Required vs Optional", "Size Limits" (128 bytes for a string, 4 KiB for a map,
with exceptions said at the fields) and the characters that names must not contain.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from csi.errors import InvalidRequest

REQUIRED: Mapping[str, tuple[str, ...]] = {
    "CreateVolumeRequest": ("name", "volume_capabilities"),
    "DeleteVolumeRequest": ("volume_id",),
    "ControllerPublishVolumeRequest": ("volume_id", "node_id", "volume_capability"),
    "ControllerUnpublishVolumeRequest": ("volume_id",),
    "ValidateVolumeCapabilitiesRequest": ("volume_id", "volume_capabilities"),
    "ControllerGetVolumeRequest": ("volume_id",),
    "ControllerGetVolumeHealthRequest": ("volume_id",),
    "ControllerModifyVolumeRequest": ("volume_id",),
    "ControllerExpandVolumeRequest": ("volume_id", "capacity_range"),
    "CreateSnapshotRequest": ("source_volume_id", "name"),
    "DeleteSnapshotRequest": ("snapshot_id",),
    "GetSnapshotRequest": ("snapshot_id",),
    "CreateVolumeGroupSnapshotRequest": ("name", "source_volume_ids"),
    "DeleteVolumeGroupSnapshotRequest": ("group_snapshot_id",),
    "GetVolumeGroupSnapshotRequest": ("group_snapshot_id",),
    "GetMetadataAllocatedRequest": ("snapshot_id",),
    "GetMetadataDeltaRequest": ("base_snapshot_id", "target_snapshot_id"),
    "NodeStageVolumeRequest": ("volume_id", "staging_target_path", "volume_capability"),
    "NodeUnstageVolumeRequest": ("volume_id", "staging_target_path"),
    "NodePublishVolumeRequest": ("volume_id", "target_path", "volume_capability"),
    "NodeUnpublishVolumeRequest": ("volume_id", "target_path"),
    "NodeGetVolumeStatsRequest": ("volume_id", "volume_path"),
    "NodeGetVolumeHealthRequest": ("volume_id",),
    "NodeExpandVolumeRequest": ("volume_id", "volume_path"),
}
"""Fields that a request must have; what is missing answers INVALID_ARGUMENT in every RPC."""

_STRING_BYTES = 128
_MAP_BYTES = 4096
_LIMITS: Mapping[str, int] = {
    "node_id": 256,
    "target_path": 4096,
    "staging_target_path": 4096,
    "volume_path": 4096,
    "volume_publish_path": 4096,
    "mount_flags": 4096,
}
_INTEGERS = frozenset({FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64})
_MAY_BE_NEGATIVE = frozenset({"starting_offset"})
"""Out of range rather than invalid: the service answers with a code of its own."""

_BANNED = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_NAMES = frozenset({"name", "volume_id", "snapshot_id", "source_volume_id", "group_snapshot_id"})


def check(request: Message) -> None:
    """Raise InvalidRequest naming the first field of a request that breaks a general rule."""
    for name in REQUIRED.get(request.DESCRIPTOR.name, ()):
        if not _has(request, name):
            raise InvalidRequest(f"{name} is missing")
    for field, value in request.ListFields():
        _check_field(field, value)


def _has(request: Message, name: str) -> bool:
    field = request.DESCRIPTOR.fields_by_name[name]
    return bool(request.HasField(name) if field.has_presence else getattr(request, name))


def _check_field(field: FieldDescriptor, value: Any) -> None:
    if field.message_type and field.message_type.GetOptions().map_entry:
        _check_map(field.name, value)
    elif field.message_type:
        for message in _each(field, value):
            for inner, inner_value in message.ListFields():
                _check_field(inner, inner_value)
    elif field.type == FieldDescriptor.TYPE_STRING:
        for text in _each(field, value):
            _check_string(field.name, text)
    elif field.cpp_type in _INTEGERS and value < 0 and field.name not in _MAY_BE_NEGATIVE:
        raise InvalidRequest(f"{field.name} must not be negative, but is {value}")


def _each(field: FieldDescriptor, value: Any) -> Iterator[Any]:
    yield from value if field.is_repeated else (value,)


def _check_string(name: str, text: str) -> None:
    size, limit = len(text.encode()), _LIMITS.get(name, _STRING_BYTES)
    if size > limit:
        raise InvalidRequest(f"{name} is {size} bytes long; the limit is {limit}")
    banned = _BANNED.search(text)
    if banned and name in _NAMES:
        raise InvalidRequest(f"{name} contains the control character U+{ord(banned.group()):04X}")
    if "\0" in text:
        raise InvalidRequest(f"{name} contains a NUL character")


def _check_map(name: str, entries: Mapping[str, Any]) -> None:
    if not all(isinstance(value, str) for value in entries.values()):
        return
    size = sum(len(key.encode()) + len(value.encode()) for key, value in entries.items())
    if size > _MAP_BYTES:
        raise InvalidRequest(f"{name} is {size} bytes large; the limit is {_MAP_BYTES}")
