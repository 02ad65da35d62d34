"""Requests as a CO makes them, and calls that go through the general checks as in the server."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias, TypeVar

import pytest
from google.protobuf.message import Message

from csi import validation
from csi.disk import GIB
from csi.errors import DiskError
from csi.stubs import csi_pb2

NODE = "coordinator"

MODE = csi_pb2.VolumeCapability.AccessMode
Mode: TypeAlias = "csi_pb2.VolumeCapability.AccessMode.Mode.ValueType"

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response")


def ask(call: Callable[[Request, Any], Response], request: Request) -> Response:
    validation.check(request)
    return call(request, None)


def read(call: Callable[[Request, Any], Iterator[Response]], request: Request) -> list[Response]:
    validation.check(request)
    return list(call(request, None))


def refusal(
    error: type[DiskError], call: Callable[[Request, Any], object], request: Request
) -> str:
    """The sentence with which a call is refused, for exactly this reason."""
    with pytest.raises(DiskError) as caught:
        _answered(call, request)
    assert type(caught.value) is error, f"{type(caught.value).__name__}: {caught.value}"
    return str(caught.value)


def _answered(call: Callable[[Request, Any], object], request: Request) -> None:
    validation.check(request)
    answer = call(request, None)
    if isinstance(answer, Iterator):
        list(answer)


def mount(
    filesystem: str = "", *flags: str, mode: Mode = MODE.SINGLE_NODE_SINGLE_WRITER
) -> csi_pb2.VolumeCapability:
    return csi_pb2.VolumeCapability(
        mount=csi_pb2.VolumeCapability.MountVolume(fs_type=filesystem, mount_flags=flags),
        access_mode=MODE(mode=mode),
    )


def block(mode: Mode = MODE.SINGLE_NODE_SINGLE_WRITER) -> csi_pb2.VolumeCapability:
    return csi_pb2.VolumeCapability(
        block=csi_pb2.VolumeCapability.BlockVolume(), access_mode=MODE(mode=mode)
    )


def between(required: int = 0, limit: int = 0) -> csi_pb2.CapacityRange:
    return csi_pb2.CapacityRange(required_bytes=required, limit_bytes=limit)


def create(name: str = "pgdata", **fields: Any) -> csi_pb2.CreateVolumeRequest:
    known: dict[str, Any] = {
        "volume_capabilities": [mount()],
        "capacity_range": between(GIB),
        **fields,
    }
    return csi_pb2.CreateVolumeRequest(name=name, **known)


def publish(
    disk: str = "pgdata", pod: str = "db-0", **fields: Any
) -> csi_pb2.ControllerPublishVolumeRequest:
    context = fields.pop("volume_context", {})
    if pod:
        pods = {
            "csi.storage.k8s.io/pod.namespace": "default",
            "csi.storage.k8s.io/pod.name": pod,
        }
        context = {**context, **pods}
    known: dict[str, Any] = {"node_id": NODE, "volume_capability": mount(), **fields}
    return csi_pb2.ControllerPublishVolumeRequest(volume_id=disk, volume_context=context, **known)


def unpublish(disk: str = "pgdata", node: str = NODE) -> csi_pb2.ControllerUnpublishVolumeRequest:
    return csi_pb2.ControllerUnpublishVolumeRequest(volume_id=disk, node_id=node)


def delete(disk: str = "pgdata") -> csi_pb2.DeleteVolumeRequest:
    return csi_pb2.DeleteVolumeRequest(volume_id=disk)


def snapshot(
    name: str = "nightly", disk: str = "pgdata", **fields: Any
) -> csi_pb2.CreateSnapshotRequest:
    return csi_pb2.CreateSnapshotRequest(name=name, source_volume_id=disk, **fields)


def group(name: str, *disks: str, **fields: Any) -> csi_pb2.CreateVolumeGroupSnapshotRequest:
    return csi_pb2.CreateVolumeGroupSnapshotRequest(name=name, source_volume_ids=disks, **fields)


def from_snapshot(name: str) -> csi_pb2.VolumeContentSource:
    kinds = csi_pb2.VolumeContentSource
    return kinds(snapshot=kinds.SnapshotSource(snapshot_id=name))


def from_disk(name: str) -> csi_pb2.VolumeContentSource:
    kinds = csi_pb2.VolumeContentSource
    return kinds(volume=kinds.VolumeSource(volume_id=name))


def on(*nodes: str) -> Sequence[csi_pb2.Topology]:
    key = "topology.disk.csi.miren.dev/node"
    return [csi_pb2.Topology(segments={key: node}) for node in nodes]
