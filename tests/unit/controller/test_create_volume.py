"""CreateVolume: sizes, copies, parameters, and calls that are made twice."""

from typing import Any

import pytest

from controller.service import ControllerService
from csi.disk import GIB, MIB, Content
from csi.errors import Incompatible, InvalidRequest, NotFound, OutOfRange, PoolFull
from csi.stubs import csi_pb2
from tests.unit.controller.asking import (
    ask,
    between,
    block,
    create,
    delete,
    from_disk,
    from_snapshot,
    mount,
    on,
    refusal,
    snapshot,
)
from tests.unit.controller.memory_pool import GRANULARITY, MemoryPool


def created(controller: ControllerService, request: csi_pb2.CreateVolumeRequest) -> csi_pb2.Volume:
    return ask(controller.CreateVolume, request).volume


def test_a_volume_is_called_as_asked_and_says_where_it_is(controller: ControllerService) -> None:
    for name in ("pgdata", "ünïcode/../x", "x" * 128):
        volume = created(controller, create(name))

        assert volume.volume_id == name
        assert volume.capacity_bytes == GIB
        assert dict(volume.volume_context) == {"filesystem": "ext4"}
        assert list(volume.accessible_topology) == on("coordinator")


def test_the_context_tells_what_is_not_the_default(controller: ControllerService) -> None:
    given = {"filesystem": "xfs", "leaseTimeout": "90s", "createdBy": "shop"}

    volume = created(controller, create(parameters=given))

    assert dict(volume.volume_context) == {
        "filesystem": "xfs",
        "leaseTimeout": "1m30s",
        "createdBy": "shop",
    }
    request = csi_pb2.ControllerGetVolumeRequest(volume_id="pgdata")
    assert ask(controller.ControllerGetVolume, request).volume == volume
    (entry,) = ask(controller.ListVolumes, csi_pb2.ListVolumesRequest()).entries
    assert entry.volume == volume


def test_a_disk_for_a_mount_may_be_formatted_and_a_raw_one_not(
    controller: ControllerService, pool: MemoryPool
) -> None:
    created(controller, create("mounted", volume_capabilities=[mount()]))
    created(controller, create("both", volume_capabilities=[block(), mount()]))
    created(controller, create("raw", volume_capabilities=[block()]))

    contents = {disk.name: disk.content for disk in pool.disks()}
    assert contents == {
        "mounted": Content.PENDING,
        "both": Content.PENDING,
        "raw": Content.RAW,
    }


@pytest.mark.parametrize(
    ("asked", "capability", "given"),
    [
        (between(), mount(), GIB),
        (between(2 * GIB), mount(), 2 * GIB),
        (between(GIB + 1), mount(), GIB + GRANULARITY),
        (between(1), mount("xfs"), 300 * MIB),
        (between(1), block(), GRANULARITY),
        (between(0, 512 * MIB), mount(), 512 * MIB),
        (between(0, 512 * MIB + 1), mount(), 512 * MIB),
        (between(0, 8 * GIB), mount(), GIB),
        (between(GIB, GIB), mount(), GIB),
        (between(1, 300 * MIB), mount("xfs"), 300 * MIB),
    ],
)
def test_the_size_is_within_the_range_and_fits_the_filesystem(
    controller: ControllerService,
    asked: csi_pb2.CapacityRange,
    capability: csi_pb2.VolumeCapability,
    given: int,
) -> None:
    request = create(capacity_range=asked, volume_capabilities=[capability])

    assert created(controller, request).capacity_bytes == given


@pytest.mark.parametrize(
    ("asked", "capability"),
    [
        (between(GIB + 1, GIB + 2), mount()),
        (between(1, 100 * MIB), mount("xfs")),
        (between(0, GRANULARITY - 1), block()),
    ],
)
def test_no_size_in_the_range_is_possible(
    controller: ControllerService,
    pool: MemoryPool,
    asked: csi_pb2.CapacityRange,
    capability: csi_pb2.VolumeCapability,
) -> None:
    request = create(capacity_range=asked, volume_capabilities=[capability])

    sentence = refusal(OutOfRange, controller.CreateVolume, request)

    assert f"limit_bytes {asked.limit_bytes} is too small" in sentence
    assert pool.disks() == []


def test_more_than_the_pool_has_is_refused_with_the_figures(controller: ControllerService) -> None:
    request = create(capacity_range=between(1 << 62))

    assert "pgdata" in refusal(PoolFull, controller.CreateVolume, request)


def test_a_plain_create_asks_the_pool_nothing_but_to_create(
    controller: ControllerService, pool: MemoryPool
) -> None:
    for number in range(3):
        created(controller, create(f"free-{number}"))
    assert pool.asked_for_usage == 0

    for number in range(3):
        created(controller, create(f"exact-{number}", capacity_range=between(GIB, GIB)))
    assert pool.asked_for_usage == 1


def test_the_same_request_again_returns_the_same_volume(controller: ControllerService) -> None:
    request = create(
        parameters={"createdBy": "shop", "leaseTimeout": "1h"},
        mutable_parameters={"readAheadKiB": "512"},
        volume_capabilities=[mount("btrfs")],
        capacity_range=between(GIB, 2 * GIB),
    )

    assert created(controller, request) == created(controller, request)


def test_an_expanded_disk_still_fits_the_request_that_made_it(
    controller: ControllerService, pool: MemoryPool
) -> None:
    created(controller, create())
    pool.expand("pgdata", 5 * GIB)

    assert created(controller, create()).capacity_bytes == 5 * GIB
    sentence = refusal(
        Incompatible, controller.CreateVolume, create(capacity_range=between(GIB, GIB))
    )
    assert sentence == (
        f'disk "pgdata" exists, but it has {5 * GIB} bytes, '
        f"not at least {GIB} and at most {GIB} bytes"
    )


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        ({"capacity_range": between(4 * GIB)}, "it has 1073741824 bytes, not at least 4294967296"),
        ({"volume_capabilities": [mount("xfs")]}, "its filesystem is ext4, not xfs"),
        ({"parameters": {"createdBy": "blog"}}, "its createdBy is shop, not blog"),
        ({"parameters": {"leaseTimeout": "1s"}}, "its leaseTimeout is 300.0, not 1.0"),
        ({"mutable_parameters": {"readAheadKiB": "4"}}, "its readAheadKiB is None, not 4"),
        (
            {"volume_content_source": from_disk("other")},
            'it is a disk of its own, not a copy of disk "other"',
        ),
    ],
)
def test_another_request_for_the_name_is_incompatible(
    controller: ControllerService, other: dict[str, Any], difference: str
) -> None:
    created(controller, create("other"))
    created(controller, create(parameters={"createdBy": "shop"}))

    sentence = refusal(Incompatible, controller.CreateVolume, create(**other))

    assert sentence.startswith(f'disk "pgdata" exists, but {difference}')


def test_a_request_that_leaves_things_open_takes_the_disk_as_it_is(
    controller: ControllerService,
) -> None:
    first = created(controller, create(parameters={"filesystem": "xfs", "createdBy": "shop"}))

    assert created(controller, create()) == first


def test_a_clone_says_so_and_has_its_origins_size_and_filesystem(
    controller: ControllerService,
) -> None:
    created(controller, create(volume_capabilities=[mount("xfs")], capacity_range=between(2 * GIB)))
    ask(controller.CreateSnapshot, snapshot())

    for name, source in (("clone", from_disk("pgdata")), ("restored", from_snapshot("nightly"))):
        request = create(name, volume_content_source=source, capacity_range=between())
        volume = created(controller, request)

        assert volume.content_source == source
        assert volume.capacity_bytes == 2 * GIB
        assert volume.volume_context["filesystem"] == "xfs"
        assert created(controller, request) == volume


def test_a_clone_may_be_larger_but_never_smaller(controller: ControllerService) -> None:
    created(controller, create(capacity_range=between(2 * GIB)))
    source = from_disk("pgdata")

    larger = create("larger", volume_content_source=source, capacity_range=between(3 * GIB))
    small = create("small", volume_content_source=source, capacity_range=between(GIB))
    smaller = create("smaller", volume_content_source=source, capacity_range=between(GIB, GIB))

    assert created(controller, larger).capacity_bytes == 3 * GIB
    assert created(controller, small).capacity_bytes == 2 * GIB
    sentence = refusal(OutOfRange, controller.CreateVolume, smaller)
    assert f'disk "pgdata" needs at least {2 * GIB} bytes' in sentence


def test_a_missing_source_is_named(controller: ControllerService) -> None:
    clone = create(volume_content_source=from_disk("gone"))
    restored = create(volume_content_source=from_snapshot("gone"))

    assert refusal(NotFound, controller.CreateVolume, clone) == 'disk "gone" does not exist'
    sentence = refusal(NotFound, controller.CreateVolume, restored)
    assert sentence == 'snapshot "gone" does not exist'


def test_a_retry_succeeds_although_the_source_is_gone_by_now(controller: ControllerService) -> None:
    created(controller, create("origin"))
    request = create("clone", volume_content_source=from_disk("origin"))
    clone = created(controller, request)
    ask(controller.DeleteVolume, delete("origin"))

    assert created(controller, request) == clone
    other = create("clone", volume_content_source=from_disk("never"))
    assert "a copy of disk" in refusal(Incompatible, controller.CreateVolume, other)


def test_a_clone_cannot_have_another_filesystem(controller: ControllerService) -> None:
    created(controller, create("origin"))
    request = create(
        volume_content_source=from_disk("origin"), volume_capabilities=[mount("btrfs")]
    )

    assert refusal(InvalidRequest, controller.CreateVolume, request) == (
        'disk "pgdata" cannot be btrfs: its source, disk "origin", is ext4'
    )


def test_kubernetes_own_parameters_are_no_mistakes(
    controller: ControllerService, pool: MemoryPool
) -> None:
    given = {
        "csi.storage.k8s.io/pvc/name": "data",
        "csi.storage.k8s.io/pvc/namespace": "shop",
        "csi.storage.k8s.io/pv/name": "pvc-123",
        "csi.storage.k8s.io/fstype": "xfs",
        "csi.storage.k8s.io/of-the-future": "yes",
    }

    volume = created(controller, create("pvc-123", parameters=given))
    created(controller, create("named", parameters={**given, "createdBy": "miren"}))

    assert volume.volume_context["createdBy"] == "shop/data"
    assert volume.volume_context["filesystem"] == "xfs"
    assert pool.get("named").created_by == "miren"


def test_mutable_parameters_win_over_parameters(
    controller: ControllerService, pool: MemoryPool
) -> None:
    request = create(parameters={"readAheadKiB": "128"}, mutable_parameters={"readAheadKiB": "512"})

    created(controller, request)

    assert pool.get("pgdata").read_ahead_kib == 512


def test_only_requisite_topologies_are_a_must(controller: ControllerService) -> None:
    here = csi_pb2.TopologyRequirement(requisite=on("other", "coordinator"), preferred=on("other"))
    rather = csi_pb2.TopologyRequirement(preferred=on("other"))
    elsewhere = csi_pb2.TopologyRequirement(requisite=on("other"))

    created(controller, create("here", accessibility_requirements=here))
    created(controller, create("rather", accessibility_requirements=rather))
    sentence = refusal(
        PoolFull, controller.CreateVolume, create(accessibility_requirements=elsewhere)
    )

    assert sentence == (
        'disk "pgdata" can only be on node "coordinator", where the pools are, '
        "and no requisite topology has it"
    )


def test_all_of_a_topology_must_be_true_and_its_keys_have_no_case(
    controller: ControllerService,
) -> None:
    def required(**segments: str) -> csi_pb2.CreateVolumeRequest:
        named = {key.replace("_", "/"): value for key, value in segments.items()}
        topology = csi_pb2.Topology(segments={**on("coordinator")[0].segments, **named})
        requirement = csi_pb2.TopologyRequirement(requisite=[topology])
        return create(accessibility_requirements=requirement)

    refusal(PoolFull, controller.CreateVolume, required(zone="coordinator"))
    created(controller, required(**{"Topology.disk.csi.miren.dev_Node": "coordinator"}))
