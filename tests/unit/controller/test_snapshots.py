"""Snapshots of single disks."""

import pytest

from controller.groups import GroupControllerService
from controller.service import ControllerService
from csi.disk import GIB
from csi.errors import BadToken, Incompatible, InvalidRequest, NotFound, PoolFull
from csi.stubs import csi_pb2
from tests.unit.controller.asking import ask, create, delete, group, on, refusal, snapshot

DELETE = csi_pb2.DeleteSnapshotRequest
LIST = csi_pb2.ListSnapshotsRequest


@pytest.fixture(autouse=True)
def _disks(controller: ControllerService) -> None:
    ask(controller.CreateVolume, create("pgdata"))
    ask(controller.CreateVolume, create("uploads"))


def listed(controller: ControllerService, **filters: str) -> list[str]:
    entries = ask(controller.ListSnapshots, LIST(**filters)).entries  # type: ignore[arg-type]
    return [one.snapshot.snapshot_id for one in entries]


def test_a_snapshot_is_called_as_asked_and_ready_at_once(controller: ControllerService) -> None:
    for name in ("nightly", "ünïcode/../x", "x" * 128):
        cut = ask(controller.CreateSnapshot, snapshot(name)).snapshot

        assert (cut.snapshot_id, cut.source_volume_id, cut.size_bytes) == (name, "pgdata", GIB)
        assert cut.ready_to_use
        assert cut.group_snapshot_id == ""
        assert cut.creation_time.seconds == 1_700_000_000
        assert cut.creation_time.nanos // 1000 == 123_456
        assert list(cut.accessible_topology) == on("coordinator")
        found = ask(controller.GetSnapshot, csi_pb2.GetSnapshotRequest(snapshot_id=name))
        assert found.snapshot == cut


def test_the_same_request_again_returns_the_same_snapshot(controller: ControllerService) -> None:
    first = ask(controller.CreateSnapshot, snapshot())

    assert ask(controller.CreateSnapshot, snapshot()) == first
    ask(controller.DeleteVolume, delete("pgdata"))
    assert ask(controller.CreateSnapshot, snapshot()) == first


def test_a_name_stands_for_one_disk(controller: ControllerService) -> None:
    ask(controller.CreateSnapshot, snapshot("nightly", "pgdata"))

    for other in ("uploads", "gone"):
        told = refusal(Incompatible, controller.CreateSnapshot, snapshot("nightly", other))
        assert told == f'snapshot "nightly" exists, but of disk "pgdata", not "{other}"'


def test_a_snapshot_is_cut_where_the_pool_is(controller: ControllerService) -> None:
    here = csi_pb2.TopologyRequirement(requisite=on("coordinator"), preferred=on("coordinator"))
    elsewhere = csi_pb2.TopologyRequirement(requisite=on("worker"))

    ask(controller.CreateSnapshot, snapshot(accessibility_requirements=here))
    request = snapshot("weekly", accessibility_requirements=elsewhere)
    assert 'snapshot "weekly"' in refusal(PoolFull, controller.CreateSnapshot, request)


def test_snapshots_survive_their_disk(controller: ControllerService) -> None:
    ask(controller.CreateSnapshot, snapshot())

    ask(controller.DeleteVolume, delete("pgdata"))

    assert listed(controller) == ["nightly"]


def test_deleting_is_fine_twice(controller: ControllerService) -> None:
    ask(controller.CreateSnapshot, snapshot())

    ask(controller.DeleteSnapshot, DELETE(snapshot_id="nightly"))
    ask(controller.DeleteSnapshot, DELETE(snapshot_id="nightly"))
    ask(controller.DeleteSnapshot, DELETE(snapshot_id="never-there"))

    assert listed(controller) == []
    request = csi_pb2.GetSnapshotRequest(snapshot_id="nightly")
    assert refusal(NotFound, controller.GetSnapshot, request) == 'snapshot "nightly" does not exist'


def test_filters_narrow_the_list(controller: ControllerService) -> None:
    for name, disk in (("a", "pgdata"), ("b", "uploads"), ("c", "pgdata")):
        ask(controller.CreateSnapshot, snapshot(name, disk))

    assert listed(controller) == ["a", "b", "c"]
    assert listed(controller, source_volume_id="pgdata") == ["a", "c"]
    assert listed(controller, snapshot_id="b") == ["b"]
    assert listed(controller, snapshot_id="b", source_volume_id="pgdata") == []
    assert listed(controller, snapshot_id="gone") == []
    assert listed(controller, source_volume_id="gone") == []


def test_snapshots_come_in_pages(controller: ControllerService) -> None:
    for name in "edcba":
        ask(controller.CreateSnapshot, snapshot(name))

    first = ask(controller.ListSnapshots, LIST(max_entries=3))
    ask(controller.DeleteSnapshot, DELETE(snapshot_id="c"))
    rest = ask(controller.ListSnapshots, LIST(starting_token=first.next_token))

    names = [[one.snapshot.snapshot_id for one in page.entries] for page in (first, rest)]
    assert names == [["a", "b", "c"], ["d", "e"]]
    volumes = ask(controller.ListVolumes, csi_pb2.ListVolumesRequest(max_entries=1))
    told = refusal(BadToken, controller.ListSnapshots, LIST(starting_token=volumes.next_token))
    assert "is not from a list of snapshots" in told


def test_members_of_a_group_are_listed_but_not_deleted_alone(
    controller: ControllerService, groups: GroupControllerService
) -> None:
    made = ask(groups.CreateVolumeGroupSnapshot, group("weekly", "pgdata")).group_snapshot
    (member,) = made.snapshots

    assert listed(controller) == [member.snapshot_id]
    told = refusal(
        InvalidRequest, controller.DeleteSnapshot, DELETE(snapshot_id=member.snapshot_id)
    )
    assert told == (
        f'snapshot "{member.snapshot_id}" is part of group snapshot "weekly"; '
        "delete that with DeleteVolumeGroupSnapshot"
    )
    told = refusal(Incompatible, controller.CreateSnapshot, snapshot(member.snapshot_id))
    assert "exists, but as part of group snapshot" in told
