"""What is wrong with a request is said in one sentence, before anything is touched."""

from typing import Any

import pytest

from controller.groups import GroupControllerService
from controller.metadata import SnapshotMetadataService
from controller.service import ControllerService
from csi.disk import GIB
from csi.errors import InvalidRequest, NotFound
from csi.stubs import csi_pb2
from tests.unit.controller.asking import (
    MODE,
    ask,
    between,
    block,
    create,
    from_disk,
    from_snapshot,
    group,
    mount,
    publish,
    refusal,
    snapshot,
)
from tests.unit.controller.memory_pool import MemoryPool

AHEAD = "must be a whole number from 0 to 16384, a multiple of 4: the kernel reads ahead in pages"
CREATOR = "createdBy must be at most 317 bytes long, without control characters"
SEVERAL = "the parameter filesystem and every fs_type must be the same"

BAD_CREATE: list[tuple[dict[str, Any], str]] = [
    ({"name": ""}, "name is missing"),
    ({"name": "a\x07b"}, "name contains the control character U+0007"),
    ({"name": "x" * 129}, "name is 129 bytes long; the limit is 128"),
    (
        {"name": "local/shop/data"},
        (
            'a disk cannot be called "local/shop/data": '
            "names that begin with local/ are those of local disks"
        ),
    ),
    ({"volume_capabilities": []}, "volume_capabilities is missing"),
    ({"capacity_range": between(-1)}, "required_bytes must not be negative, but is -1"),
    (
        {"capacity_range": between(2, 1)},
        "capacity_range contradicts itself: required_bytes 2 is more than limit_bytes 1",
    ),
    (
        {"volume_capabilities": [mount("ext4"), mount("xfs")]},
        f"the request asks for several filesystems at once: ext4, xfs; {SEVERAL}",
    ),
    (
        {"parameters": {"filesystem": "xfs"}, "volume_capabilities": [mount("ext4")]},
        f"the request asks for several filesystems at once: ext4, xfs; {SEVERAL}",
    ),
    (
        {"parameters": {"filesystem": "ntfs"}},
        'filesystem "ntfs" is not supported; use ext4, xfs, btrfs',
    ),
    (
        {"parameters": {"csi.storage.k8s.io/fstype": "ntfs"}},
        'csi.storage.k8s.io/fstype "ntfs" is not supported; use ext4, xfs, btrfs',
    ),
    (
        {"parameters": {"fileSystem": "xfs"}},
        'unknown parameter "fileSystem"; known: createdBy, filesystem, leaseTimeout, readAheadKiB',
    ),
    (
        {"mutable_parameters": {"leaseTimeout": "5m"}},
        'unknown mutable parameter "leaseTimeout"; known: readAheadKiB',
    ),
    (
        {"parameters": {"leaseTimeout": "5"}},
        'leaseTimeout "5" lacks a unit after 5: write "5s" or "5m"',
    ),
    (
        {"parameters": {"leaseTimeout": ""}},
        'leaseTimeout "" is empty: write a duration such as "90s", "5m" or "1h30m"',
    ),
    ({"parameters": {"createdBy": "x" * 318}}, CREATOR),
    ({"parameters": {"createdBy": "a\nb"}}, CREATOR),
    *(
        ({"mutable_parameters": {"readAheadKiB": value}}, f'readAheadKiB "{value}" {AHEAD}')
        for value in ("", "-4", "6", "16388", "999999", "4 ", "0x10", "٤")
    ),
    (
        {"volume_content_source": csi_pb2.VolumeContentSource()},
        "volume_content_source names neither a snapshot_id nor a volume_id",
    ),
    (
        {"volume_content_source": from_snapshot("")},
        "volume_content_source names neither a snapshot_id nor a volume_id",
    ),
    (
        {"volume_content_source": from_disk("local/shop/data")},
        'the local disk "local/shop/data" cannot be cloned: it is a folder',
    ),
]


@pytest.mark.parametrize(("fields", "sentence"), BAD_CREATE)
def test_create_volume(
    controller: ControllerService, pool: MemoryPool, fields: dict[str, Any], sentence: str
) -> None:
    request = create(**{"name": "pgdata", **fields})

    assert refusal(InvalidRequest, controller.CreateVolume, request) == sentence
    assert pool.disks() == []


@pytest.mark.parametrize(
    "capability",
    [
        csi_pb2.VolumeCapability(),
        csi_pb2.VolumeCapability(access_mode=MODE(mode=MODE.SINGLE_NODE_WRITER)),
        csi_pb2.VolumeCapability(block=csi_pb2.VolumeCapability.BlockVolume()),
        mount("ntfs"),
        mount("", "suid"),
        mount(mode=MODE.MULTI_NODE_MULTI_WRITER),
    ],
)
def test_a_capability_that_no_disk_has(
    controller: ControllerService, pool: MemoryPool, capability: csi_pb2.VolumeCapability
) -> None:
    refusal(InvalidRequest, controller.CreateVolume, create(volume_capabilities=[capability]))
    refusal(
        InvalidRequest, controller.CreateVolume, create(volume_capabilities=[mount(), capability])
    )
    refusal(
        InvalidRequest, controller.ControllerPublishVolume, publish(volume_capability=capability)
    )

    assert pool.disks() == []


BAD_PUBLISH: list[tuple[dict[str, Any], str]] = [
    ({"node_id": ""}, "node_id is missing"),
    ({"volume_capability": None}, "volume_capability is missing"),
    (
        {"volume_context": {"provider": "nfs"}},
        'provider "nfs" is unknown; use miren or local',
    ),
    (
        {"volume_context": {"provider": "local"}},
        (
            'provider "local" does not go with the volume id "pgdata": '
            "the ids of local disks, and no others, begin with local/"
        ),
    ),
    (
        {"disk": "local/shop/data", "volume_context": {"provider": "miren"}},
        (
            'provider "miren" does not go with the volume id "local/shop/data": '
            "the ids of local disks, and no others, begin with local/"
        ),
    ),
    (
        {"disk": "local/../etc"},
        (
            '"local/../etc" is not the id of a local disk: '
            "write local/<app>/<name>, both of letters, digits and hyphens"
        ),
    ),
    (
        {"disk": "local/shop/data", "volume_capability": block()},
        "a local disk is a directory; it has no block device",
    ),
    (
        {"volume_context": {"size": "much"}},
        'size "much" is no size: write a number and a unit, such as "20Gi"',
    ),
    (
        {"volume_context": {"size": "0Gi"}},
        'size "0Gi" is zero: write a size above zero, such as "20Gi"',
    ),
    (
        {"volume_context": {"size": "-1Gi"}},
        'size "-1Gi" is no size: write a number and a unit, such as "20Gi"',
    ),
    (
        {"volume_context": {"size": "1Gi", "filesystem": "ntfs"}},
        'filesystem "ntfs" is not supported; use ext4, xfs, btrfs',
    ),
    (
        {"volume_context": {"size": "1Gi", "leaseTimeout": "soon"}},
        (
            'leaseTimeout "soon" is not a duration: write numbers with units '
            '(ns, us, ms, s, m, h), such as "90s", "5m" or "1h30m"'
        ),
    ),
]


@pytest.mark.parametrize(("fields", "sentence"), BAD_PUBLISH)
def test_controller_publish(
    controller: ControllerService, pool: MemoryPool, fields: dict[str, Any], sentence: str
) -> None:
    assert (
        refusal(InvalidRequest, controller.ControllerPublishVolume, publish(**fields)) == sentence
    )
    assert pool.disks() == []


def test_a_local_disk_has_none_of_what_a_disk_has(
    controller: ControllerService, groups: GroupControllerService
) -> None:
    local = "local/shop/data"
    expand = csi_pb2.ControllerExpandVolumeRequest(volume_id=local, capacity_range=between(GIB))
    modify = csi_pb2.ControllerModifyVolumeRequest(volume_id=local)

    for told, sentence in (
        (refusal(InvalidRequest, controller.ControllerExpandVolume, expand), "has no size"),
        (refusal(InvalidRequest, controller.ControllerModifyVolume, modify), "nothing to modify"),
        (
            refusal(InvalidRequest, controller.CreateSnapshot, snapshot(disk=local)),
            "has no snapshots",
        ),
        (
            refusal(InvalidRequest, groups.CreateVolumeGroupSnapshot, group("g", local)),
            "has no snapshots",
        ),
    ):
        assert local in told
        assert sentence in told


def test_expand_and_modify_need_to_be_told_what(controller: ControllerService) -> None:
    ask(controller.CreateVolume, create())

    nothing = csi_pb2.ControllerExpandVolumeRequest(volume_id="pgdata")
    empty = csi_pb2.ControllerExpandVolumeRequest(volume_id="pgdata", capacity_range=between())
    modify = csi_pb2.ControllerModifyVolumeRequest(volume_id="pgdata")
    unknown = csi_pb2.ControllerModifyVolumeRequest(
        volume_id="pgdata", mutable_parameters={"iops": "100"}
    )

    told = [
        refusal(InvalidRequest, controller.ControllerExpandVolume, nothing),
        refusal(InvalidRequest, controller.ControllerExpandVolume, empty),
        refusal(InvalidRequest, controller.ControllerModifyVolume, modify),
        refusal(InvalidRequest, controller.ControllerModifyVolume, unknown),
    ]

    assert told == [
        "capacity_range is missing",
        "capacity_range has neither required_bytes nor limit_bytes",
        "mutable_parameters is missing",
        'unknown mutable parameter "iops"; known: readAheadKiB',
    ]


def test_snapshots_and_groups_have_no_parameters(
    controller: ControllerService, groups: GroupControllerService
) -> None:
    ask(controller.CreateVolume, create())
    bad = {"compress": "yes"}
    fine = {"csi.storage.k8s.io/volumesnapshot/name": "nightly"}

    told = refusal(InvalidRequest, controller.CreateSnapshot, snapshot(parameters=bad))
    assert told == 'unknown snapshot parameter "compress"; there are none'
    request = group("weekly", "pgdata", parameters=bad)
    told = refusal(InvalidRequest, groups.CreateVolumeGroupSnapshot, request)
    assert told == 'unknown group snapshot parameter "compress"; there are none'
    ask(controller.CreateSnapshot, snapshot(parameters=fine))
    ask(groups.CreateVolumeGroupSnapshot, group("weekly", "pgdata", parameters=fine))


def test_what_never_existed_is_not_found_by_name(
    controller: ControllerService,
    groups: GroupControllerService,
    metadata: SnapshotMetadataService,
) -> None:
    missing = 'disk "gone" does not exist'
    get = csi_pb2.ControllerGetVolumeRequest(volume_id="gone")
    health = csi_pb2.ControllerGetVolumeHealthRequest(volume_id="gone")
    expand = csi_pb2.ControllerExpandVolumeRequest(volume_id="gone", capacity_range=between(GIB))
    modify = csi_pb2.ControllerModifyVolumeRequest(
        volume_id="gone", mutable_parameters={"readAheadKiB": "4"}
    )
    validate = csi_pb2.ValidateVolumeCapabilitiesRequest(
        volume_id="gone", volume_capabilities=[mount()]
    )

    assert refusal(NotFound, controller.ControllerGetVolume, get) == missing
    assert refusal(NotFound, controller.ControllerGetVolumeHealth, health) == missing
    assert refusal(NotFound, controller.ControllerExpandVolume, expand) == missing
    assert refusal(NotFound, controller.ControllerModifyVolume, modify) == missing
    assert refusal(NotFound, controller.ValidateVolumeCapabilities, validate) == missing
    assert refusal(NotFound, controller.CreateSnapshot, snapshot(disk="gone")) == missing
    assert refusal(NotFound, groups.CreateVolumeGroupSnapshot, group("g", "gone")) == missing
    missing = 'snapshot "gone" does not exist'
    one = csi_pb2.GetSnapshotRequest(snapshot_id="gone")
    written = csi_pb2.GetMetadataAllocatedRequest(snapshot_id="gone")
    assert refusal(NotFound, controller.GetSnapshot, one) == missing
    assert refusal(NotFound, metadata.GetMetadataAllocated, written) == missing
