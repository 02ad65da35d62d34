"""Group snapshots: all or none, and whole again after a kill."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.groups import GroupControllerService, member_name
from controller.service import ControllerService
from csi.errors import Incompatible, InvalidRequest, NotFound
from csi.stubs import csi_pb2
from tests.unit.controller.asking import ask, create, group, refusal
from tests.unit.controller.memory_pool import MemoryPool

DELETE = csi_pb2.DeleteVolumeGroupSnapshotRequest
GET = csi_pb2.GetVolumeGroupSnapshotRequest


@pytest.fixture(autouse=True)
def _disks(controller: ControllerService) -> None:
    for name in ("pgdata", "uploads", "cache"):
        ask(controller.CreateVolume, create(name))


@pytest.fixture
def weekly(groups: GroupControllerService) -> csi_pb2.VolumeGroupSnapshot:
    request = group("weekly", "pgdata", "uploads")
    return ask(groups.CreateVolumeGroupSnapshot, request).group_snapshot


def ids(made: csi_pb2.VolumeGroupSnapshot) -> list[str]:
    return [one.snapshot_id for one in made.snapshots]


def test_groups_are_made_deleted_and_looked_up(groups: GroupControllerService) -> None:
    request = csi_pb2.GroupControllerGetCapabilitiesRequest()
    rpc = csi_pb2.GroupControllerServiceCapability.RPC

    (told,) = ask(groups.GroupControllerGetCapabilities, request).capabilities

    assert told.rpc.type == rpc.CREATE_DELETE_GET_VOLUME_GROUP_SNAPSHOT


def test_a_group_has_a_snapshot_of_each_disk(
    groups: GroupControllerService, weekly: csi_pb2.VolumeGroupSnapshot
) -> None:
    assert weekly.group_snapshot_id == "weekly"
    assert weekly.ready_to_use
    assert {one.source_volume_id for one in weekly.snapshots} == {"pgdata", "uploads"}
    assert {one.group_snapshot_id for one in weekly.snapshots} == {"weekly"}
    assert all(one.ready_to_use for one in weekly.snapshots)
    assert weekly.creation_time.seconds == 1_700_000_000
    found = ask(
        groups.GetVolumeGroupSnapshot, GET(group_snapshot_id="weekly", snapshot_ids=ids(weekly))
    )
    assert found.group_snapshot.snapshots == sorted(weekly.snapshots, key=lambda s: s.snapshot_id)


def test_the_same_request_again_returns_the_same_group(
    groups: GroupControllerService, weekly: csi_pb2.VolumeGroupSnapshot
) -> None:
    again = ask(groups.CreateVolumeGroupSnapshot, group("weekly", "uploads", "pgdata"))

    assert sorted(ids(again.group_snapshot)) == sorted(ids(weekly))


@pytest.mark.usefixtures("weekly")
@pytest.mark.parametrize("disks", [["pgdata"], ["pgdata", "cache"], ["pgdata", "uploads", "cache"]])
def test_a_group_of_other_disks_is_incompatible(
    groups: GroupControllerService, pool: MemoryPool, disks: list[str]
) -> None:
    before = pool.snapshots()

    told = refusal(Incompatible, groups.CreateVolumeGroupSnapshot, group("weekly", *disks))

    wanted = ", ".join(f'"{disk}"' for disk in sorted(disks))
    assert told == (
        f'group snapshot "weekly" exists, but of the disks "pgdata", "uploads", not {wanted}'
    )
    assert pool.snapshots() == before


@pytest.mark.parametrize(
    ("disks", "sentence"),
    [
        ([], "source_volume_ids is missing"),
        (["pgdata", ""], "source_volume_ids has an empty volume id"),
        (
            ["pgdata", "uploads", "pgdata"],
            'source_volume_ids names disk "pgdata" more than once',
        ),
    ],
)
def test_a_group_needs_disks_each_once(
    groups: GroupControllerService, disks: list[str], sentence: str
) -> None:
    told = refusal(InvalidRequest, groups.CreateVolumeGroupSnapshot, group("weekly", *disks))

    assert told == sentence


def test_a_group_with_a_missing_disk_is_not_made(
    groups: GroupControllerService, pool: MemoryPool
) -> None:
    refusal(NotFound, groups.CreateVolumeGroupSnapshot, group("weekly", "pgdata", "gone"))

    assert pool.snapshots() == []


def test_what_a_killed_call_left_is_no_group_and_is_cut_anew(
    groups: GroupControllerService, pool: MemoryPool
) -> None:
    pool.dies_after = 1
    request = group("weekly", "pgdata", "uploads")
    with pytest.raises(KeyboardInterrupt):
        ask(groups.CreateVolumeGroupSnapshot, request)
    (left,) = pool.snapshots()
    pool.dies_after = None

    refusal(NotFound, groups.GetVolumeGroupSnapshot, GET(group_snapshot_id="weekly"))
    made = ask(groups.CreateVolumeGroupSnapshot, request).group_snapshot

    assert len(made.snapshots) == 2
    assert left not in pool.snapshots(), "a snapshot of another moment is in the group"


def test_what_a_killed_call_left_can_be_deleted(
    groups: GroupControllerService, pool: MemoryPool, weekly: csi_pb2.VolumeGroupSnapshot
) -> None:
    pool.delete_snapshots(ids(weekly)[:1])

    request = DELETE(group_snapshot_id="weekly", snapshot_ids=ids(weekly))
    ask(groups.DeleteVolumeGroupSnapshot, request)

    assert pool.snapshots() == []
    ask(groups.DeleteVolumeGroupSnapshot, request)


def test_a_group_is_deleted_as_a_whole(
    groups: GroupControllerService, pool: MemoryPool, weekly: csi_pb2.VolumeGroupSnapshot
) -> None:
    other = ask(groups.CreateVolumeGroupSnapshot, group("other", "pgdata")).group_snapshot

    request = DELETE(group_snapshot_id="weekly", snapshot_ids=ids(weekly))
    ask(groups.DeleteVolumeGroupSnapshot, request)

    assert [one.name for one in pool.snapshots()] == ids(other)
    ask(groups.DeleteVolumeGroupSnapshot, DELETE(group_snapshot_id="never-there"))


def test_a_list_of_other_snapshots_is_a_mistake(
    groups: GroupControllerService, pool: MemoryPool, weekly: csi_pb2.VolumeGroupSnapshot
) -> None:
    first, second = sorted(ids(weekly))
    about = 'snapshot_ids is not what group snapshot "weekly" is: it '
    for given_ids, sentence in (
        ([], f'snapshot_ids is missing; group snapshot "weekly" is "{first}", "{second}"'),
        ([first], f'{about}lacks "{second}"'),
        ([first, second, "other"], f'{about}has "other" besides'),
    ):
        delete = DELETE(group_snapshot_id="weekly", snapshot_ids=given_ids)
        get = GET(group_snapshot_id="weekly", snapshot_ids=given_ids)
        assert refusal(InvalidRequest, groups.DeleteVolumeGroupSnapshot, delete) == sentence
        assert refusal(InvalidRequest, groups.GetVolumeGroupSnapshot, get) == sentence
    assert len(pool.snapshots()) == 2


def test_a_group_that_never_was_is_not_found(groups: GroupControllerService) -> None:
    told = refusal(NotFound, groups.GetVolumeGroupSnapshot, GET(group_snapshot_id="gone"))

    assert told == 'group snapshot "gone" does not exist'


NAMES = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=32)


@given(NAMES, NAMES, NAMES, st.integers(1, 10**6))
def test_members_have_short_names_of_their_own(one: str, other: str, disk: str, size: int) -> None:
    name = member_name(one, disk, size)

    assert len(name.encode()) <= 128
    assert name == member_name(one, disk, size)
    assert (name == member_name(other, disk, size)) == (one == other)
    assert (name == member_name(one, other, size)) == (disk == other)
