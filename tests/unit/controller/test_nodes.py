"""The pools of several nodes as one."""

import pytest

from controller.leases import Leases
from controller.nodes import Nodes
from controller.service import ControllerService
from csi.disk import GIB, Disk, NewSnapshot, Source, SourceKind
from csi.errors import Incompatible, NotFound, PoolFull, Refused, Unavailable
from csi.stubs import csi_pb2
from tests.unit.controller.asking import create, on, publish
from tests.unit.controller.memory_leases import MemoryLeaseStore
from tests.unit.controller.memory_pool import MemoryPool


class SilentPool(MemoryPool):
    """The pool of a node that is switched off."""

    def get(self, name: str) -> Disk:
        raise Unavailable(f"node-2 does not answer for {name}")

    def disks(self) -> list[Disk]:
        raise Unavailable("node-2 does not answer")


@pytest.fixture
def pools() -> dict[str, MemoryPool]:
    return {"node-1": MemoryPool(), "node-2": MemoryPool()}


@pytest.fixture
def nodes(pools: dict[str, MemoryPool]) -> Nodes:
    return Nodes(lambda: pools, str)


@pytest.fixture
def controller(nodes: Nodes) -> ControllerService:
    return ControllerService(nodes, Leases(MemoryLeaseStore()))


def test_a_disk_is_made_where_it_is_wanted(
    controller: ControllerService, pools: dict[str, MemoryPool]
) -> None:
    wanted = csi_pb2.TopologyRequirement(
        requisite=on("node-1", "node-2"), preferred=on("node-2", "node-1")
    )
    volume = controller.CreateVolume(create("pgdata", accessibility_requirements=wanted), None)

    assert [one.name for one in pools["node-2"].disks()] == ["pgdata"]
    assert pools["node-1"].disks() == []
    assert list(volume.volume.accessible_topology) == list(on("node-2"))


def test_a_repeated_creation_finds_the_disk_on_another_node(
    controller: ControllerService, pools: dict[str, MemoryPool]
) -> None:
    for node in ("node-2", "node-1"):
        here = csi_pb2.TopologyRequirement(requisite=on("node-1", "node-2"), preferred=on(node))
        controller.CreateVolume(create("pgdata", accessibility_requirements=here), None)

    assert (len(pools["node-1"].disks()), len(pools["node-2"].disks())) == (0, 1)


def test_a_list_has_the_disks_of_all_nodes_in_order(nodes: Nodes) -> None:
    nodes.create(Disk("b", GIB, node="node-1"))
    nodes.create(Disk("a", GIB, node="node-2"))
    nodes.create_snapshots([NewSnapshot("s", "a")])

    assert [(one.name, one.node) for one in nodes.disks()] == [("a", "node-2"), ("b", "node-1")]
    assert nodes.reachable_disks() == (nodes.disks(), True)
    assert [(one.name, one.node) for one in nodes.snapshots()] == [("s", "node-2")]


def test_a_copy_is_made_beside_its_source(nodes: Nodes, controller: ControllerService) -> None:
    nodes.create(Disk("pgdata", GIB, node="node-2"))
    source = csi_pb2.VolumeContentSource(
        volume=csi_pb2.VolumeContentSource.VolumeSource(volume_id="pgdata")
    )
    made = controller.CreateVolume(create("copy", volume_content_source=source), None)
    assert list(made.volume.accessible_topology) == list(on("node-2"))

    elsewhere = csi_pb2.TopologyRequirement(requisite=on("node-1"))
    with pytest.raises(PoolFull, match='"other" can only be on node "node-2", where its source'):
        controller.CreateVolume(
            create("other", volume_content_source=source, accessibility_requirements=elsewhere),
            None,
        )


def test_only_the_node_that_has_a_disk_gets_it(nodes: Nodes, controller: ControllerService) -> None:
    nodes.create(Disk("pgdata", GIB, node="node-2"))

    controller.ControllerPublishVolume(publish(node_id="node-2"), None)
    told = '"node-1" cannot have disk "pgdata": it is on node "node-2"'
    with pytest.raises(NotFound, match=told):
        controller.ControllerPublishVolume(publish(node_id="node-1"), None)


def test_disks_of_two_nodes_have_no_common_moment(nodes: Nodes) -> None:
    for number in (1, 2):
        nodes.create(Disk(f"disk-{number}", GIB, node=f"node-{number}"))

    with pytest.raises(Refused, match='no common moment: "disk-1" on node-1, "disk-2" on node-2'):
        nodes.create_snapshots([NewSnapshot(f"s-{n}", f"disk-{n}", "group") for n in (1, 2)])


def test_a_silent_node_hides_no_disk_and_stops_no_other(pools: dict[str, MemoryPool]) -> None:
    pools["node-2"] = SilentPool()
    nodes = Nodes(lambda: pools, str)

    nodes.create(Disk("pgdata", GIB, node="node-1"))
    assert nodes.get("pgdata").node == "node-1"
    nodes.expand("pgdata", 2 * GIB)
    nodes.check()
    with pytest.raises(Unavailable, match="node-2 does not answer"):
        nodes.get("unknown")  # it may be there
    with pytest.raises(Unavailable, match="node-2 does not answer"):
        nodes.disks()
    found, everywhere = nodes.reachable_disks()
    assert ([(one.name, one.node) for one in found], everywhere) == ([("pgdata", "node-1")], False)


def test_a_name_that_two_nodes_have_is_nobodys(pools: dict[str, MemoryPool], nodes: Nodes) -> None:
    for pool in pools.values():
        pool.create(Disk("pgdata", GIB))

    with pytest.raises(Incompatible, match='"pgdata" is on node-1 and node-2: one of them has to'):
        nodes.delete("pgdata")


def test_what_moved_is_found_again(pools: dict[str, MemoryPool], nodes: Nodes) -> None:
    pools["node-1"].create(Disk("pgdata", GIB))
    assert nodes.get("pgdata").node == "node-1"
    pools["node-1"].delete("pgdata")
    pools["node-2"].create(Disk("pgdata", GIB, source=None))

    assert nodes.get("pgdata").node == "node-2"
    pools["node-2"].delete("pgdata")
    with pytest.raises(NotFound):
        nodes.get("pgdata")


def test_a_clone_of_a_snapshot_knows_its_node(nodes: Nodes) -> None:
    nodes.create(Disk("pgdata", GIB, node="node-2"))
    nodes.create_snapshots([NewSnapshot("monday", "pgdata")])
    plan = Disk("copy", GIB, source=Source(SourceKind.SNAPSHOT, "monday"))

    assert nodes.origin_node(plan) == "node-2"
