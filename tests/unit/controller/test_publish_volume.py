"""ControllerPublishVolume and its reverse: who gets a disk, who waits, who makes it."""

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from controller.lease import Lease
from controller.leases import Leases
from controller.nodes import Nodes
from controller.service import ControllerService
from csi.disk import GIB, MIB, Content
from csi.errors import (
    DiskInUse,
    Incompatible,
    InvalidRequest,
    LeaseExpired,
    LeaseHeld,
    NotFound,
    PoolFull,
    Refused,
)
from csi.stubs import csi_pb2
from tests.unit.controller.asking import (
    MODE,
    NODE,
    ask,
    block,
    create,
    delete,
    mount,
    publish,
    refusal,
    unpublish,
)
from tests.unit.controller.known_holders import KnownHolders
from tests.unit.controller.memory_leases import Clock, MemoryLeaseStore
from tests.unit.controller.memory_pool import MemoryPool


@pytest.fixture
def disk(controller: ControllerService) -> csi_pb2.Volume:
    return ask(controller.CreateVolume, create("pgdata")).volume


def holder(leases: Leases, disk: str = "pgdata") -> str:
    lease = leases.get(disk)
    return lease.holder if lease else ""


@pytest.mark.usefixtures("disk")
def test_the_pod_gets_the_lease_and_may_ask_again(
    controller: ControllerService, leases: Leases
) -> None:
    first = ask(controller.ControllerPublishVolume, publish(pod="db-0"))
    again = ask(controller.ControllerPublishVolume, publish(pod="db-0"))

    assert holder(leases) == "default/db-0"
    assert dict(first.publish_context) == dict(again.publish_context) == {}


@pytest.mark.usefixtures("disk")
def test_the_node_holds_it_where_the_pod_is_not_known(
    controller: ControllerService, leases: Leases
) -> None:
    ask(controller.ControllerPublishVolume, publish(pod=""))

    assert holder(leases) == "node/coordinator"


@pytest.mark.usefixtures("disk")
def test_a_second_instance_waits_until_its_time_is_over(
    controller: ControllerService, clock: Clock
) -> None:
    ask(controller.ControllerPublishVolume, publish(pod="db-0"))
    second = publish(pod="db-1")

    clock.pass_by(minutes=2)
    told = refusal(LeaseHeld, controller.ControllerPublishVolume, second)
    assert told == 'disk "pgdata" is held by default/db-0, since 2m; waiting up to 5m'

    clock.pass_by(minutes=5, seconds=1)
    told = refusal(LeaseExpired, controller.ControllerPublishVolume, second)
    assert told == (
        'disk "pgdata" is held by default/db-0, since 7m1s; default/db-1 waited longer than '
        "its lease_timeout of 5m: stop the holder, or raise lease_timeout"
    )

    ask(controller.ControllerUnpublishVolume, unpublish())
    ask(controller.ControllerPublishVolume, second)


@pytest.mark.usefixtures("disk")
def test_the_wait_is_as_long_as_the_instance_says_else_as_the_disk_says(
    controller: ControllerService,
) -> None:
    ask(controller.CreateVolume, create("patient", parameters={"leaseTimeout": "1h"}))
    ask(controller.ControllerPublishVolume, publish("patient", "db-0"))

    own = publish("patient", "db-1")
    said = publish("patient", "db-2", volume_context={"leaseTimeout": "30s"})

    assert "up to 1h" in refusal(LeaseHeld, controller.ControllerPublishVolume, own)
    assert "up to 30s" in refusal(LeaseHeld, controller.ControllerPublishVolume, said)


@pytest.mark.usefixtures("disk")
@pytest.mark.parametrize(
    ("other", "manner"),
    [
        ({"readonly": True}, "writable; it must be released before it can be had read-only"),
        (
            {"volume_capability": mount(mode=MODE.SINGLE_NODE_READER_ONLY)},
            "writable; it must be released before it can be had read-only",
        ),
        (
            {"volume_capability": mount(mode=MODE.SINGLE_NODE_MULTI_WRITER)},
            "writable; it must be released before it can be had writable and shared",
        ),
    ],
)
def test_the_same_holder_in_another_manner_is_incompatible(
    controller: ControllerService, other: dict[str, Any], manner: str
) -> None:
    ask(controller.ControllerPublishVolume, publish(pod=""))

    told = refusal(Incompatible, controller.ControllerPublishVolume, publish(pod="", **other))

    assert told == f'disk "pgdata" is held by node/coordinator, since 1s, {manner}'


@pytest.mark.usefixtures("disk")
def test_pods_share_a_disk_of_many_writers_through_their_node(
    controller: ControllerService, leases: Leases
) -> None:
    many = mount(mode=MODE.SINGLE_NODE_MULTI_WRITER)

    for pod in ("web-0", "web-1", ""):
        ask(controller.ControllerPublishVolume, publish(pod=pod, volume_capability=many))

    assert holder(leases) == "node/coordinator"
    refusal(LeaseHeld, controller.ControllerPublishVolume, publish(pod="db-0"))


@pytest.mark.usefixtures("disk")
def test_a_read_only_publish_tells_the_node(controller: ControllerService) -> None:
    answer = ask(controller.ControllerPublishVolume, publish(readonly=True))

    assert dict(answer.publish_context) == {"readonly": "true"}


@pytest.mark.usefixtures("disk")
def test_another_node_cannot_have_a_disk(controller: ControllerService) -> None:
    told = refusal(NotFound, controller.ControllerPublishVolume, publish(node_id="worker"))

    assert told == ('node "worker" cannot have disk "pgdata": disks are on node "coordinator"')


def test_a_holder_on_a_node_of_the_past_is_in_the_way(pool: MemoryPool, clock: Clock) -> None:
    store = MemoryLeaseStore()
    before = ControllerService(Nodes.single("old-name", pool), Leases(store, clock))
    ask(before.CreateVolume, create())
    ask(before.ControllerPublishVolume, publish(node_id="old-name"))
    controller = ControllerService(Nodes.single(NODE, pool), Leases(store, clock))

    told = refusal(Refused, controller.ControllerPublishVolume, publish())
    assert told == (
        'disk "pgdata" is held by default/db-0, since 1s, on node "old-name"; it must be '
        'released there before node "coordinator" can have it'
    )

    ask(controller.ControllerUnpublishVolume, unpublish(node=""))
    ask(controller.ControllerPublishVolume, publish())


@pytest.mark.usefixtures("disk")
def test_unpublish_is_for_the_node_it_names_and_fine_twice(
    controller: ControllerService, leases: Leases
) -> None:
    ask(controller.ControllerPublishVolume, publish())

    ask(controller.ControllerUnpublishVolume, unpublish(node="worker"))
    assert holder(leases) == "default/db-0"
    ask(controller.ControllerUnpublishVolume, unpublish())
    ask(controller.ControllerUnpublishVolume, unpublish())
    assert holder(leases) == ""
    ask(controller.ControllerUnpublishVolume, unpublish("never-there"))
    ask(controller.ControllerUnpublishVolume, unpublish("local/shop/data"))


def test_a_missing_disk_is_made_as_its_pv_says(
    controller: ControllerService, pool: MemoryPool, leases: Leases
) -> None:
    context = {
        "size": "20Gi",
        "filesystem": "xfs",
        "createdBy": "shop",
        "leaseTimeout": "90s",
        "provider": "miren",
        "storage.kubernetes.io/csiProvisionerIdentity": "whatever",
    }

    request = publish(volume_context=context, volume_capability=mount("xfs"))
    ask(controller.ControllerPublishVolume, request)

    disk = pool.get("pgdata")
    assert (disk.size, disk.filesystem, disk.created_by) == (20 * GIB, "xfs", "shop")
    assert (disk.lease_timeout, disk.content) == (90.0, Content.PENDING)
    assert holder(leases) == "default/db-0"


def test_the_annotations_of_its_volume_say_how_a_missing_disk_is_made(
    pool: MemoryPool, leases: Leases
) -> None:
    wish = {
        "disk.miren.dev/size": "20Gi",
        "disk.miren.dev/filesystem": "xfs",
        "disk.miren.dev/created-by": "shop",
        "disk.miren.dev/lease-timeout": "90s",
    }
    holders = KnownHolders(annotations=wish)
    controller = ControllerService(Nodes.single(NODE, pool), leases, holders=holders)

    ask(controller.ControllerPublishVolume, publish())

    disk = pool.get("pgdata")
    assert (disk.size, disk.filesystem, disk.created_by) == (20 * GIB, "xfs", "shop")
    assert disk.lease_timeout == 90.0


@pytest.mark.parametrize("disk", ["pgdata", "local/shop/data"])
def test_a_volume_that_is_annotated_as_read_only_is_had_so(
    pool: MemoryPool, leases: Leases, disk: str
) -> None:
    holders = KnownHolders(annotations={"disk.miren.dev/read-only": "true"})
    controller = ControllerService(Nodes.single(NODE, pool), leases, holders=holders)
    ask(controller.CreateVolume, create("pgdata"))

    answer = ask(controller.ControllerPublishVolume, publish(disk))

    assert dict(answer.publish_context) == {"readonly": "true"}

    holders.annotations["disk.miren.dev/read-only"] = "yes"
    told = refusal(InvalidRequest, controller.ControllerPublishVolume, publish(disk))
    assert told == 'readOnly "yes" must be "true" or "false"'


@pytest.mark.parametrize(
    ("size", "made"),
    [("1G", 10**9), ("1.5Gi", 1536 * MIB), ("1073741824", GIB), ("1", 300 * MIB)],
)
def test_sizes_are_written_as_in_kubernetes(
    controller: ControllerService, pool: MemoryPool, size: str, made: int
) -> None:
    context = {"size": size, "filesystem": "xfs"}

    ask(controller.ControllerPublishVolume, publish(volume_context=context))

    assert made <= pool.get("pgdata").size < made + 4 * MIB


def test_a_missing_disk_for_raw_use_is_never_formatted(
    controller: ControllerService, pool: MemoryPool
) -> None:
    context = {"size": "1Gi", "filesystem": "ext4"}

    request = publish(volume_context=context, volume_capability=block())
    ask(controller.ControllerPublishVolume, request)

    assert pool.get("pgdata").content is Content.RAW


def test_a_missing_disk_without_a_size_stays_missing(
    controller: ControllerService, pool: MemoryPool, leases: Leases
) -> None:
    told = refusal(NotFound, controller.ControllerPublishVolume, publish())

    assert told == 'disk "pgdata" does not exist and no size specified for auto-creation'
    assert pool.disks() == []
    assert leases.list() == []


@pytest.mark.usefixtures("disk")
def test_an_existing_disk_keeps_what_it_is(controller: ControllerService, pool: MemoryPool) -> None:
    before = pool.get("pgdata")
    context = {"size": "nonsense", "filesystem": "xfs", "createdBy": "blog"}

    ask(controller.ControllerPublishVolume, publish(volume_context=context))

    assert pool.get("pgdata") == before


def test_local_disks_are_for_everybody(controller: ControllerService, leases: Leases) -> None:
    many = mount(mode=MODE.SINGLE_NODE_MULTI_WRITER)
    local = {"volume_context": {"provider": "local"}, "volume_capability": many}

    for pod in ("web-0", "worker-0"):
        ask(controller.ControllerPublishVolume, publish("local/shop/data", pod, **local))
    read_only = publish("local/shop/data", "web-1", **local, readonly=True)
    answer = ask(controller.ControllerPublishVolume, read_only)

    assert dict(answer.publish_context) == {"readonly": "true"}
    assert leases.list() == []


def test_a_node_has_no_more_disks_than_it_may(pool: MemoryPool, leases: Leases) -> None:
    controller = ControllerService(Nodes.single(NODE, pool), leases, max_volumes=2)
    for name in ("a", "b", "c"):
        ask(controller.CreateVolume, create(name))
    ask(controller.ControllerPublishVolume, publish("a"))
    ask(controller.ControllerPublishVolume, publish("b"))
    ask(controller.ControllerPublishVolume, publish("b"))

    told = refusal(PoolFull, controller.ControllerPublishVolume, publish("c"))
    assert told == (
        'disk "c" cannot be published: node "coordinator" has 2 disks, and may have 2 at once'
    )
    ask(controller.ControllerUnpublishVolume, unpublish("a"))
    ask(controller.ControllerPublishVolume, publish("c"))


class MeetingPlace(MemoryLeaseStore):
    """Whoever counts leases here waits a moment for somebody else who does."""

    def __init__(self) -> None:
        super().__init__()
        self.together = threading.Barrier(2, timeout=0.3)

    def list(self) -> list[Lease]:
        found = super().list()
        with contextlib.suppress(threading.BrokenBarrierError):
            self.together.wait()
        return found


def test_the_limit_holds_for_calls_at_the_same_time(pool: MemoryPool) -> None:
    controller = ControllerService(Nodes.single(NODE, pool), Leases(MeetingPlace()), max_volumes=1)
    for name in ("a", "b"):
        ask(controller.CreateVolume, create(name))

    def attempt(name: str) -> bool:
        try:
            ask(controller.ControllerPublishVolume, publish(name))
        except PoolFull:
            return False
        return True

    with ThreadPoolExecutor(2) as threads:
        assert sorted(threads.map(attempt, ("a", "b"))) == [False, True]


@pytest.mark.usefixtures("disk")
def test_a_held_disk_is_not_deleted(
    controller: ControllerService, pool: MemoryPool, leases: Leases
) -> None:
    ask(controller.ControllerPublishVolume, publish())

    told = refusal(DiskInUse, controller.DeleteVolume, delete())
    assert told == 'disk "pgdata" is held by default/db-0, since 1s; release it first'
    assert [disk.name for disk in pool.disks()] == ["pgdata"]

    ask(controller.ControllerUnpublishVolume, unpublish())
    ask(controller.DeleteVolume, delete())
    assert pool.disks() == []
    assert leases.list() == []


@pytest.mark.usefixtures("disk")
def test_a_mounted_disk_is_not_deleted_and_keeps_its_record(
    controller: ControllerService, pool: MemoryPool, leases: Leases
) -> None:
    ask(controller.ControllerPublishVolume, publish())
    ask(controller.ControllerUnpublishVolume, unpublish())
    pool.mounted["pgdata"] = "/mnt"

    told = refusal(DiskInUse, controller.DeleteVolume, delete())

    assert told == 'disk "pgdata" is mounted at /mnt'
    assert [lease.disk for lease in leases.list()] == ["pgdata"]


@pytest.mark.usefixtures("disk")
def test_deleting_what_is_gone_is_fine_even_if_it_was_leased(
    controller: ControllerService, pool: MemoryPool, leases: Leases
) -> None:
    ask(controller.ControllerPublishVolume, publish())
    pool.delete("pgdata")

    ask(controller.DeleteVolume, delete())
    ask(controller.DeleteVolume, delete())
    ask(controller.DeleteVolume, delete("never-there"))

    assert leases.list() == []


def test_local_disks_are_not_deleted_by_anybody(controller: ControllerService) -> None:
    told = refusal(Refused, controller.DeleteVolume, delete("local/shop/data"))

    assert told == (
        'the local disk "local/shop/data" is not deleted: its data lives in a folder on the '
        "coordinator, where it is deleted by hand"
    )
