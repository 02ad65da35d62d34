"""What is told about disks, and what is changed on existing ones."""

import pytest

from controller.service import CAPABILITIES, ControllerService
from csi.disk import GIB, MIB
from csi.errors import BadToken, InvalidRequest, OutOfRange, PoolFull
from csi.stubs import csi_pb2
from tests.unit.controller.asking import (
    MODE,
    ask,
    between,
    block,
    create,
    mount,
    on,
    publish,
    refusal,
)
from tests.unit.controller.memory_pool import GRANULARITY, MemoryPool

EXPAND = csi_pb2.ControllerExpandVolumeRequest
VALIDATE = csi_pb2.ValidateVolumeCapabilitiesRequest


@pytest.fixture
def disk(controller: ControllerService) -> csi_pb2.Volume:
    given = {"createdBy": "shop", "leaseTimeout": "90s"}
    return ask(controller.CreateVolume, create("pgdata", parameters=given)).volume


def test_all_capabilities_of_the_spec_are_there(controller: ControllerService) -> None:
    rpc = csi_pb2.ControllerServiceCapability.RPC

    answer = ask(controller.ControllerGetCapabilities, csi_pb2.ControllerGetCapabilitiesRequest())

    told = {one.rpc.type for one in answer.capabilities}
    assert told == set(rpc.Type.values()) - {rpc.UNKNOWN} == set(CAPABILITIES)


@pytest.mark.usefixtures("disk")
def test_a_volume_tells_where_it_is_published(controller: ControllerService) -> None:
    ask(controller.CreateVolume, create("idle"))
    ask(controller.ControllerPublishVolume, publish("pgdata"))

    listed = ask(controller.ListVolumes, csi_pb2.ListVolumesRequest()).entries
    nodes = {one.volume.volume_id: list(one.status.published_node_ids) for one in listed}
    assert nodes == {"idle": [], "pgdata": ["coordinator"]}
    for name, where in nodes.items():
        request = csi_pb2.ControllerGetVolumeRequest(volume_id=name)
        status = ask(controller.ControllerGetVolume, request).status
        assert list(status.published_node_ids) == where


def test_volumes_come_in_pages(controller: ControllerService) -> None:
    for name in "cadbe":
        ask(controller.CreateVolume, create(name))

    first = ask(controller.ListVolumes, csi_pb2.ListVolumesRequest(max_entries=2))
    rest = ask(controller.ListVolumes, csi_pb2.ListVolumesRequest(starting_token=first.next_token))

    names = [[one.volume.volume_id for one in page.entries] for page in (first, rest)]
    assert names == [["a", "b"], ["c", "d", "e"]]
    assert rest.next_token == ""
    told = refusal(
        BadToken, controller.ListVolumes, csi_pb2.ListVolumesRequest(starting_token="invalid")
    )
    assert told == 'starting_token "invalid" is not from a list of disks; begin anew'
    negative = csi_pb2.ListVolumesRequest(max_entries=-1)
    refusal(InvalidRequest, controller.ListVolumes, negative)


def test_capacity_is_what_may_still_be_promised(
    controller: ControllerService, pool: MemoryPool
) -> None:
    pool.size, pool.overcommit = 10 * GIB, 1.5
    ask(controller.CreateVolume, create(capacity_range=between(4 * GIB)))

    answer = ask(controller.GetCapacity, csi_pb2.GetCapacityRequest())

    assert answer.available_capacity == answer.maximum_volume_size.value == 11 * GIB
    largest = create("largest", capacity_range=between(answer.maximum_volume_size.value))
    too_large = create("larger", capacity_range=between(answer.maximum_volume_size.value + 1))
    refusal(PoolFull, controller.CreateVolume, too_large)
    ask(controller.CreateVolume, largest)
    assert ask(controller.GetCapacity, csi_pb2.GetCapacityRequest()).available_capacity == 0


@pytest.mark.parametrize(
    ("request_", "smallest"),
    [
        (csi_pb2.GetCapacityRequest(), GRANULARITY),
        (csi_pb2.GetCapacityRequest(volume_capabilities=[block()]), GRANULARITY),
        (csi_pb2.GetCapacityRequest(volume_capabilities=[mount("xfs")]), 300 * MIB),
        (
            csi_pb2.GetCapacityRequest(
                volume_capabilities=[mount()], parameters={"filesystem": "xfs"}
            ),
            300 * MIB,
        ),
    ],
)
def test_the_smallest_volume_depends_on_its_filesystem(
    controller: ControllerService, request_: csi_pb2.GetCapacityRequest, smallest: int
) -> None:
    answer = ask(controller.GetCapacity, request_)

    assert answer.minimum_volume_size.value == smallest
    limit = create(
        capacity_range=between(0, smallest),
        volume_capabilities=request_.volume_capabilities or [block()],
        parameters=request_.parameters,
    )
    assert ask(controller.CreateVolume, limit).volume.capacity_bytes == smallest


def test_there_is_no_capacity_elsewhere_nor_for_what_cannot_be(
    controller: ControllerService,
) -> None:
    here, elsewhere = on("coordinator", "worker")

    answer = ask(controller.GetCapacity, csi_pb2.GetCapacityRequest(accessible_topology=here))
    assert answer.available_capacity > 0
    answer = ask(controller.GetCapacity, csi_pb2.GetCapacityRequest(accessible_topology=elsewhere))
    assert answer.available_capacity == 0
    unknown = csi_pb2.GetCapacityRequest(parameters={"tier": "gold"})
    assert '"tier"' in refusal(InvalidRequest, controller.GetCapacity, unknown)


@pytest.mark.usefixtures("disk")
@pytest.mark.parametrize(
    ("asked", "becomes"),
    [
        (between(2 * GIB), 2 * GIB),
        (between(2 * GIB + 1), 2 * GIB + GRANULARITY),
        (between(2 * GIB, 2 * GIB), 2 * GIB),
        (between(1), GIB),
        (between(GIB, GIB), GIB),
        (between(0, 2 * GIB), GIB),
        (between(GIB - 1, GIB), GIB),
    ],
)
def test_a_disk_grows_to_what_is_asked_for(
    controller: ControllerService, pool: MemoryPool, asked: csi_pb2.CapacityRange, becomes: int
) -> None:
    request = EXPAND(volume_id="pgdata", capacity_range=asked, volume_capability=mount())

    for _ in range(2):
        answer = ask(controller.ControllerExpandVolume, request)
        assert answer.capacity_bytes == pool.get("pgdata").size == becomes
        assert answer.node_expansion_required


@pytest.mark.usefixtures("disk")
@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (
            between(2 * GIB + 1, 2 * GIB + 2),
            (
                f'disk "pgdata" cannot have at least {2 * GIB + 1} and at most {2 * GIB + 2} '
                f"bytes: sizes are multiples of {GRANULARITY} bytes"
            ),
        ),
        (
            between(1, GIB - 1),
            (
                f'disk "pgdata" has {GIB} bytes already, and disks do not shrink '
                f"to a limit_bytes of {GIB - 1}"
            ),
        ),
        (
            between(0, 1),
            f'disk "pgdata" has {GIB} bytes already, and disks do not shrink to a limit_bytes of 1',
        ),
    ],
)
def test_a_disk_neither_shrinks_nor_gets_an_impossible_size(
    controller: ControllerService, pool: MemoryPool, asked: csi_pb2.CapacityRange, sentence: str
) -> None:
    request = EXPAND(volume_id="pgdata", capacity_range=asked)

    assert refusal(OutOfRange, controller.ControllerExpandVolume, request) == sentence
    assert pool.get("pgdata").size == GIB


@pytest.mark.usefixtures("disk")
def test_only_a_filesystem_has_to_grow_on_the_node(controller: ControllerService) -> None:
    raw = EXPAND(volume_id="pgdata", capacity_range=between(GIB), volume_capability=block())
    unsaid = EXPAND(volume_id="pgdata", capacity_range=between(GIB))
    many = mount(mode=MODE.MULTI_NODE_MULTI_WRITER)
    never = EXPAND(volume_id="pgdata", capacity_range=between(GIB), volume_capability=many)

    assert not ask(controller.ControllerExpandVolume, raw).node_expansion_required
    assert ask(controller.ControllerExpandVolume, unsaid).node_expansion_required
    refusal(InvalidRequest, controller.ControllerExpandVolume, never)


@pytest.mark.usefixtures("disk")
def test_read_ahead_is_changed_only_when_it_is_named(
    controller: ControllerService, pool: MemoryPool
) -> None:
    modify = csi_pb2.ControllerModifyVolumeRequest
    ahead = modify(volume_id="pgdata", mutable_parameters={"readAheadKiB": "512"})
    other = modify(volume_id="pgdata", mutable_parameters={"csi.storage.k8s.io/vac": "fast"})

    ask(controller.ControllerModifyVolume, ahead)
    ask(controller.ControllerModifyVolume, other)

    assert pool.get("pgdata").read_ahead_kib == 512


def test_what_a_volume_can_do_is_confirmed_as_asked(
    controller: ControllerService, disk: csi_pb2.Volume
) -> None:
    kubernetes = {"storage.kubernetes.io/csiProvisionerIdentity": "x", "size": "9Gi"}
    request = VALIDATE(
        volume_id="pgdata",
        volume_context={**disk.volume_context, **kubernetes, "leaseTimeout": "90s"},
        volume_capabilities=[mount("ext4", "noatime"), block()],
        parameters={"filesystem": "ext4"},
        mutable_parameters={"readAheadKiB": "512"},
    )

    answer = ask(controller.ValidateVolumeCapabilities, request)

    assert answer.message == ""
    assert answer.confirmed.volume_context == request.volume_context
    assert answer.confirmed.volume_capabilities == request.volume_capabilities
    assert answer.confirmed.parameters == request.parameters
    assert answer.confirmed.mutable_parameters == request.mutable_parameters


@pytest.mark.usefixtures("disk")
@pytest.mark.parametrize(
    ("fields", "told"),
    [
        (
            {"volume_capabilities": [mount(), mount(mode=MODE.MULTI_NODE_MULTI_WRITER)]},
            "access_mode MULTI_NODE_MULTI_WRITER is not supported",
        ),
        ({"volume_capabilities": [mount("xfs")]}, 'disk "pgdata" is ext4, not xfs'),
        ({"volume_capabilities": [mount("", "suid")]}, "suid"),
        ({"parameters": {"filesystem": "xfs"}}, 'disk "pgdata" is ext4, not xfs'),
        ({"parameters": {"tier": "gold"}}, 'unknown parameter "tier"'),
        ({"mutable_parameters": {"iops": "1"}}, 'unknown mutable parameter "iops"'),
        (
            {"volume_context": {"filesystem": "xfs"}},
            'volume_context says filesystem "xfs", disk "pgdata" has "ext4"',
        ),
        (
            {"volume_context": {"createdBy": "blog"}},
            'volume_context says createdBy "blog", disk "pgdata" has "shop"',
        ),
        (
            {"volume_context": {"leaseTimeout": "5m"}},
            'volume_context says leaseTimeout "5m", disk "pgdata" has "1m30s"',
        ),
        (
            {"volume_context": {"tier": "gold"}},
            'volume_context has "tier", which disk "pgdata" knows nothing of',
        ),
    ],
)
def test_what_a_volume_cannot_do_is_not_confirmed(
    controller: ControllerService, fields: dict[str, object], told: str
) -> None:
    known: dict[str, object] = {"volume_capabilities": [mount()], **fields}
    request = VALIDATE(volume_id="pgdata", **known)  # type: ignore[arg-type]

    answer = ask(controller.ValidateVolumeCapabilities, request)

    assert not answer.HasField("confirmed")
    assert told in answer.message


@pytest.mark.usefixtures("disk")
def test_half_a_capability_is_a_mistake_not_a_question(controller: ControllerService) -> None:
    for half in (
        csi_pb2.VolumeCapability(block=csi_pb2.VolumeCapability.BlockVolume()),
        csi_pb2.VolumeCapability(access_mode=MODE(mode=MODE.SINGLE_NODE_WRITER)),
    ):
        request = VALIDATE(volume_id="pgdata", volume_capabilities=[half])
        told = refusal(InvalidRequest, controller.ValidateVolumeCapabilities, request)
        assert told == "a volume_capability lacks its access_type or its access_mode"


def test_local_disks_can_be_mounted_in_any_mode(controller: ControllerService) -> None:
    def validated(
        capability: csi_pb2.VolumeCapability, **context: str
    ) -> csi_pb2.ValidateVolumeCapabilitiesResponse:
        request = VALIDATE(
            volume_id="local/shop/data",
            volume_capabilities=[capability],
            volume_context=context,
        )
        return ask(controller.ValidateVolumeCapabilities, request)

    many = mount(mode=MODE.MULTI_NODE_MULTI_WRITER)
    assert validated(many, provider="local").HasField("confirmed")
    assert "directory" in validated(block()).message
    assert validated(mount(), provider="miren").message == (
        '"local/shop/data" is a local disk, whatever provider says'
    )
