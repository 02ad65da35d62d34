"""Snapshot metadata: which ranges are streamed, in which portions, from where on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.leases import Leases
from controller.metadata import TUPLES, SnapshotMetadataService
from controller.nodes import Nodes
from controller.service import ControllerService
from csi.disk import GIB, Extent
from csi.errors import InvalidRequest, OutOfRange
from csi.stubs import csi_pb2
from tests.unit.controller.asking import NODE, ask, between, create, read, refusal, snapshot
from tests.unit.controller.memory_leases import MemoryLeaseStore
from tests.unit.controller.memory_pool import BLOCK, MemoryPool

ALLOCATED = csi_pb2.GetMetadataAllocatedRequest
DELTA = csi_pb2.GetMetadataDeltaRequest


@pytest.fixture(autouse=True)
def _snapshots(controller: ControllerService, pool: MemoryPool) -> None:
    for name in ("pgdata", "uploads"):
        ask(controller.CreateVolume, create(name))
    ask(controller.CreateSnapshot, snapshot("empty"))
    pool.write("pgdata", 1, 2, 3, 10)
    ask(controller.CreateSnapshot, snapshot("monday"))
    pool.write("pgdata", 3, 20)
    ask(controller.CreateSnapshot, snapshot("tuesday"))
    ask(controller.CreateSnapshot, snapshot("elsewhere", "uploads"))


def ranges(
    messages: list[csi_pb2.GetMetadataAllocatedResponse] | list[csi_pb2.GetMetadataDeltaResponse],
) -> list[Extent]:
    return [
        Extent(one.byte_offset // BLOCK, one.size_bytes // BLOCK)
        for message in messages
        for one in message.block_metadata
    ]


def test_what_was_written_is_streamed(metadata: SnapshotMetadataService) -> None:
    messages = read(metadata.GetMetadataAllocated, ALLOCATED(snapshot_id="monday"))

    assert ranges(messages) == [Extent(1, 3), Extent(10, 1)]
    assert {one.block_metadata_type for one in messages} == {csi_pb2.VARIABLE_LENGTH}
    assert {one.volume_capacity_bytes for one in messages} == {GIB}


def test_what_differs_is_streamed(metadata: SnapshotMetadataService) -> None:
    request = DELTA(base_snapshot_id="monday", target_snapshot_id="tuesday")

    messages = read(metadata.GetMetadataDelta, request)

    assert ranges(messages) == [Extent(3, 1), Extent(20, 1)]
    assert {one.block_metadata_type for one in messages} == {csi_pb2.VARIABLE_LENGTH}
    assert {one.volume_capacity_bytes for one in messages} == {GIB}


def test_nothing_written_still_tells_the_capacity(metadata: SnapshotMetadataService) -> None:
    (message,) = read(metadata.GetMetadataAllocated, ALLOCATED(snapshot_id="empty"))

    assert list(message.block_metadata) == []
    assert message.volume_capacity_bytes == GIB


def test_a_message_has_no_more_than_asked_for(
    metadata: SnapshotMetadataService, controller: ControllerService, pool: MemoryPool
) -> None:
    pool.write("uploads", *range(0, 2 * 300, 2))
    ask(controller.CreateSnapshot, snapshot("holey", "uploads"))

    some = read(metadata.GetMetadataAllocated, ALLOCATED(snapshot_id="holey", max_results=100))
    own = read(metadata.GetMetadataAllocated, ALLOCATED(snapshot_id="holey"))

    assert [len(one.block_metadata) for one in some] == [100, 100, 100]
    assert [len(one.block_metadata) for one in own] == [TUPLES, 300 - TUPLES]
    assert ranges(some) == ranges(own)


@pytest.mark.parametrize(
    ("offset", "expected"),
    [
        (0, [Extent(1, 3), Extent(10, 1)]),
        (4 * BLOCK - 1, [Extent(1, 3), Extent(10, 1)]),
        (4 * BLOCK, [Extent(10, 1)]),
        (11 * BLOCK, []),
        (GIB, []),
    ],
)
def test_it_goes_on_from_the_offset(
    metadata: SnapshotMetadataService, offset: int, expected: list[Extent]
) -> None:
    request = ALLOCATED(snapshot_id="monday", starting_offset=offset)

    assert ranges(read(metadata.GetMetadataAllocated, request)) == expected


@pytest.mark.parametrize("offset", [-1, GIB + 1])
def test_an_offset_outside_of_the_snapshot_is_out_of_range(
    metadata: SnapshotMetadataService, offset: int
) -> None:
    allocated = ALLOCATED(snapshot_id="monday", starting_offset=offset)
    delta = DELTA(base_snapshot_id="empty", target_snapshot_id="monday", starting_offset=offset)

    sentence = f'starting_offset {offset} is not within snapshot "monday" of {GIB} bytes'
    assert refusal(OutOfRange, metadata.GetMetadataAllocated, allocated) == sentence
    assert refusal(OutOfRange, metadata.GetMetadataDelta, delta) == sentence


@pytest.mark.parametrize(
    ("base", "target", "sentence"),
    [
        (
            "monday",
            "elsewhere",
            (
                'snapshots "monday" and "elsewhere" cannot be compared: '
                'they are of different disks, "pgdata" and "uploads"'
            ),
        ),
        (
            "tuesday",
            "monday",
            'target_snapshot_id "monday" must be a later snapshot than base_snapshot_id "tuesday"',
        ),
        (
            "monday",
            "monday",
            'target_snapshot_id "monday" must be a later snapshot than base_snapshot_id "monday"',
        ),
    ],
)
def test_only_an_older_snapshot_of_the_same_disk_is_a_base(
    metadata: SnapshotMetadataService, base: str, target: str, sentence: str
) -> None:
    request = DELTA(base_snapshot_id=base, target_snapshot_id=target)

    assert refusal(InvalidRequest, metadata.GetMetadataDelta, request) == sentence


def test_negative_results_are_a_mistake(metadata: SnapshotMetadataService) -> None:
    request = ALLOCATED(snapshot_id="monday", max_results=-1)

    told = refusal(InvalidRequest, metadata.GetMetadataAllocated, request)

    assert told == "max_results must not be negative, but is -1"


@given(blocks=st.sets(st.integers(0, 40)), limit=st.integers(0, 5), stop=st.integers(0, 20))
def test_an_interrupted_stream_is_continued_without_loss(
    blocks: set[int], limit: int, stop: int
) -> None:
    pool = MemoryPool()
    controller = ControllerService(Nodes.single(NODE, pool), Leases(MemoryLeaseStore()))
    ask(controller.CreateVolume, create("d", capacity_range=between(GIB)))
    pool.write("d", *blocks)
    ask(controller.CreateSnapshot, snapshot("s", "d"))
    metadata = SnapshotMetadataService(Nodes.single(NODE, pool))
    whole = ranges(read(metadata.GetMetadataAllocated, ALLOCATED(snapshot_id="s")))

    received = whole[:stop]
    offset = (received[-1].offset + received[-1].length) * BLOCK if received else 0
    request = ALLOCATED(snapshot_id="s", starting_offset=offset, max_results=limit)
    rest = ranges(read(metadata.GetMetadataAllocated, request))

    assert received + rest == whole
    assert {b for one in whole for b in range(one.offset, one.offset + one.length)} == blocks
