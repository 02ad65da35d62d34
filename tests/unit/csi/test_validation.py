"""General rules for requests: each broken one is named with its field."""

import pytest
from google.protobuf.message import Message

from csi import validation
from csi.errors import InvalidRequest
from csi.stubs import csi_pb2

CAPABILITY = csi_pb2.VolumeCapability(
    mount=csi_pb2.VolumeCapability.MountVolume(),
    access_mode=csi_pb2.VolumeCapability.AccessMode(
        mode=csi_pb2.VolumeCapability.AccessMode.SINGLE_NODE_WRITER
    ),
)


def create(**fields: object) -> csi_pb2.CreateVolumeRequest:
    known: dict[str, object] = {"name": "pgdata", "volume_capabilities": [CAPABILITY], **fields}
    return csi_pb2.CreateVolumeRequest(**known)  # type: ignore[arg-type]


BAD: list[tuple[Message, str]] = [
    (csi_pb2.CreateVolumeRequest(), "name is missing"),
    (csi_pb2.CreateVolumeRequest(name="x"), "volume_capabilities is missing"),
    (csi_pb2.DeleteVolumeRequest(), "volume_id is missing"),
    (csi_pb2.ControllerPublishVolumeRequest(volume_id="x"), "node_id is missing"),
    (csi_pb2.ControllerExpandVolumeRequest(volume_id="x"), "capacity_range is missing"),
    (csi_pb2.NodeStageVolumeRequest(volume_id="x"), "staging_target_path is missing"),
    (csi_pb2.NodePublishVolumeRequest(volume_id="x"), "target_path is missing"),
    (csi_pb2.CreateSnapshotRequest(name="x"), "source_volume_id is missing"),
    (csi_pb2.GetMetadataDeltaRequest(base_snapshot_id="x"), "target_snapshot_id is missing"),
    (create(name="x" * 129), "name is 129 bytes long; the limit is 128"),
    (create(name="ü" * 65), "name is 130 bytes long; the limit is 128"),
    (create(name="a\x01b"), "name contains the control character U+0001"),
    (create(name="a\x85b"), "name contains the control character U+0085"),
    (create(parameters={"a": "x" * 4097}), "parameters is 4098 bytes large; the limit is 4096"),
    (
        create(capacity_range=csi_pb2.CapacityRange(required_bytes=-1)),
        "required_bytes must not be negative, but is -1",
    ),
    (
        csi_pb2.ListVolumesRequest(max_entries=-5),
        "max_entries must not be negative, but is -5",
    ),
    (
        csi_pb2.NodeUnpublishVolumeRequest(volume_id="x", target_path="/a\0b"),
        "target_path contains a NUL character",
    ),
    (
        csi_pb2.ControllerPublishVolumeRequest(
            volume_id="x", node_id="n" * 257, volume_capability=CAPABILITY
        ),
        "node_id is 257 bytes long; the limit is 256",
    ),
]


@pytest.mark.parametrize(("request_", "sentence"), BAD, ids=[text for _, text in BAD])
def test_bad_request_is_named(request_: Message, sentence: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        validation.check(request_)
    assert str(caught.value) == sentence


GOOD: list[Message] = [
    create(name="x" * 128),
    create(name="../../etc/passwd"),
    create(name="tab\tand newline\nare allowed by the spec"),
    create(name="😀 spaces, 'quotes' \"and\" $(more)"),
    csi_pb2.NodeUnpublishVolumeRequest(volume_id="x", target_path="/" + "p" * 3000),
    csi_pb2.GetMetadataAllocatedRequest(snapshot_id="x", starting_offset=-1),
    csi_pb2.GetPluginInfoRequest(),
]


@pytest.mark.parametrize("request_", GOOD, ids=range(len(GOOD)))
def test_good_request_passes(request_: Message) -> None:
    validation.check(request_)


def test_required_fields_exist_in_the_protocol() -> None:
    for message, names in validation.REQUIRED.items():
        fields = csi_pb2.DESCRIPTOR.message_types_by_name[message].fields_by_name
        assert set(names) <= set(fields), message
