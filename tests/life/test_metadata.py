"""SnapshotMetadata: which bytes of a snapshot are written, and which differ from another's."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest

from csi.disk import MIB
from csi.stubs import csi_pb2
from deploy.local_driver import LocalDriver
from tests.life.app import Instance, Operator
from tests.life.conftest import Apps

CHUNK = 64 * 1024
DISK = 64 * MIB

Extents = list[tuple[int, int]]


@pytest.fixture
def db(app: Apps, operator: Operator) -> Instance:
    """An app on a block volume, on which chunks 1, 2, 5, 100 and the last one are written."""
    operator.create("pgdata", size=DISK, filesystem="")
    db = app("pgdata", filesystem="").deploy()
    fill(db, 1, 2, 5, 100, DISK // CHUNK - 1)
    return db


def fill(instance: Instance, *chunks: int) -> None:
    """Write these chunks with bytes that were nowhere before."""
    for chunk in chunks:
        before = instance.read(9, chunk * CHUNK)
        instance.write(Random(f"{chunk} {before!r}").randbytes(CHUNK), chunk * CHUNK)


def extents(responses: Iterable[Any]) -> Extents:
    return [(one.byte_offset, one.size_bytes) for part in responses for one in part.block_metadata]


def chunks_of(found: Extents) -> list[int]:
    """The numbers of the chunks that extents cover, and they must cover them wholly."""
    assert all(offset % CHUNK == size % CHUNK == 0 for offset, size in found), found
    return [
        chunk
        for offset, size in found
        for chunk in range(offset // CHUNK, (offset + size) // CHUNK)
    ]


def allocated(driver: LocalDriver, snapshot: str, *, start: int = 0, most: int = 0) -> list[Any]:
    request = csi_pb2.GetMetadataAllocatedRequest(
        snapshot_id=snapshot, starting_offset=start, max_results=most
    )
    return list(driver.metadata.GetMetadataAllocated(request))


def changed(
    driver: LocalDriver, base: str, target: str, *, start: int = 0, most: int = 0
) -> list[Any]:
    request = csi_pb2.GetMetadataDeltaRequest(
        base_snapshot_id=base,
        target_snapshot_id=target,
        starting_offset=start,
        max_results=most,
    )
    return list(driver.metadata.GetMetadataDelta(request))


def test_allocated_is_what_was_written(
    db: Instance, driver: LocalDriver, operator: Operator
) -> None:
    operator.snapshot("pgdata", "monday")
    fill(db, 300)  # after the cut

    responses = allocated(driver, "monday")

    assert chunks_of(extents(responses)) == [1, 2, 5, 100, DISK // CHUNK - 1]
    assert {one.volume_capacity_bytes for one in responses} == {DISK}
    assert {one.block_metadata_type for one in responses} == {csi_pb2.VARIABLE_LENGTH}


def test_changed_is_what_was_written_between_two_cuts(
    db: Instance, driver: LocalDriver, operator: Operator
) -> None:
    operator.snapshot("pgdata", "monday")
    fill(db, 2, 3, 500)
    operator.snapshot("pgdata", "tuesday")
    fill(db, 600)

    assert chunks_of(extents(changed(driver, "monday", "tuesday"))) == [2, 3, 500]


def test_a_stream_can_be_cut_into_pieces_and_continued(
    db: Instance, driver: LocalDriver, operator: Operator
) -> None:
    operator.snapshot("pgdata", "monday")
    fill(db, *range(200, 240, 2))
    operator.snapshot("pgdata", "tuesday")

    streams: list[Callable[..., list[Any]]] = [
        partial(allocated, driver, "tuesday"),
        partial(changed, driver, "monday", "tuesday"),
    ]
    for stream in streams:
        whole = extents(stream())
        assert len(whole) >= 20
        small = stream(most=3)
        assert all(len(part.block_metadata) <= 3 for part in small)
        assert extents(small) == whole
        for received in (1, len(whole) // 2, len(whole)):
            offset, size = whole[received - 1]
            assert extents(stream(start=offset)) == whole[received - 1 :]
            assert extents(stream(start=offset + size)) == whole[received:]


def test_the_extents_alone_rebuild_the_snapshot(
    db: Instance, driver: LocalDriver, operator: Operator, app: Apps, tmp_path: Path
) -> None:
    operator.snapshot("pgdata", "monday")
    fill(db, 2, 3, 500)
    operator.snapshot("pgdata", "tuesday")
    backup = tmp_path / "backup.img"
    with backup.open("wb") as file:
        file.truncate(DISK)

    for snapshot, found in (
        ("monday", extents(allocated(driver, "monday"))),
        ("tuesday", extents(changed(driver, "monday", "tuesday"))),
    ):
        copy = f"copy-of-{snapshot}"
        operator.restore(copy, snapshot, filesystem="")
        restored = app(copy, pod=copy, filesystem="").deploy()
        copy_extents(restored.target, backup, found)

        assert backup.read_bytes() == restored.read(DISK)


def copy_extents(device: Path, backup: Path, found: Sequence[tuple[int, int]]) -> None:
    with device.open("rb") as source, backup.open("r+b") as target:
        for offset, size in found:
            source.seek(offset)
            target.seek(offset)
            target.write(source.read(size))


@pytest.mark.loop_only
def test_a_filesystems_snapshot_lists_all_of_its_data(
    app: Apps, driver: LocalDriver, operator: Operator, tmp_path: Path
) -> None:
    operator.create("pgdata", size=DISK)
    app("pgdata").deploy().write(Random(9).randbytes(5 * MIB))
    operator.snapshot("pgdata", "monday")
    operator.restore("copy", "monday", filesystem="")
    copy = app("copy", pod="raw-0", filesystem="").deploy()

    found = extents(allocated(driver, "monday"))

    assert all(offset + size <= following for (offset, size), (following, _) in pairwise(found))
    backup = tmp_path / "backup.img"
    with backup.open("wb") as file:
        file.truncate(DISK)
    copy_extents(copy.target, backup, found)
    assert backup.read_bytes() == copy.read(DISK)
