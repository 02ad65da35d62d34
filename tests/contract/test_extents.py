"""Which bytes of a snapshot are written, and which differ from another's."""

from collections.abc import Iterable
from itertools import pairwise

import pytest

from controller.pool import HostPool
from csi.disk import MIB, Disk, Extent, NewSnapshot, Snapshot
from csi.errors import NotFound
from tests.contract import raw

pytestmark = pytest.mark.usefixtures("copying")

BLOCK = 64 << 10
"""The unit in which pools tell what is written: every write here is of whole ones."""
SIZE = 512 * MIB


@pytest.fixture
def disk(pool: HostPool) -> Disk:
    """A disk on which nothing was ever written."""
    return pool.create(Disk("pgdata", SIZE))


def write(pool: HostPool, *blocks: int, byte: int = 0xAB) -> None:
    """Write whole blocks, by their numbers."""
    device = pool.attach("pgdata")
    for block in blocks:
        raw.write(device, block * BLOCK, bytes([byte]) * BLOCK)


def cut(pool: HostPool, name: str) -> Snapshot:
    (snapshot,) = pool.create_snapshots([NewSnapshot(name, "pgdata")])
    return snapshot


def blocks(*runs: tuple[int, int]) -> list[Extent]:
    """Extents of (first block, number of blocks)."""
    return [Extent(first * BLOCK, number * BLOCK) for first, number in runs]


def joined(extents: Iterable[Extent]) -> list[Extent]:
    """Extents with neighbours joined; fails unless they ascend and do not overlap."""
    result: list[Extent] = []
    given = list(extents)
    assert all(one.length > 0 for one in given)
    assert all(a.offset + a.length <= b.offset for a, b in pairwise(given))
    for extent in given:
        if result and result[-1].offset + result[-1].length == extent.offset:
            before = result.pop()
            result.append(Extent(before.offset, before.length + extent.length))
        else:
            result.append(extent)
    return result


@pytest.mark.usefixtures("disk")
def test_of_an_unused_disk_nothing_is_written(pool: HostPool) -> None:
    assert list(pool.allocated(cut(pool, "empty"))) == []


@pytest.mark.usefixtures("disk")
def test_what_was_written_is_allocated_and_nothing_else(pool: HostPool) -> None:
    last = SIZE // BLOCK - 1
    write(pool, 0, 16, 17, 18, 1000, 1002, last)
    snapshot = cut(pool, "full")
    write(pool, 2000)

    expected = blocks((0, 1), (16, 3), (1000, 1), (1002, 1), (last, 1))
    assert joined(pool.allocated(snapshot)) == expected


@pytest.mark.usefixtures("disk")
def test_what_was_written_between_two_snapshots_has_changed(pool: HostPool) -> None:
    last = SIZE // BLOCK - 1
    write(pool, 0, 1, 2, 3, 500, 1000)
    base = cut(pool, "base")
    write(pool, 1, 2, 999, 4000, last, byte=0xCD)
    target = cut(pool, "target")
    write(pool, 500, byte=0xEF)

    expected = blocks((1, 2), (999, 1), (4000, 1), (last, 1))
    assert joined(pool.changed(base, target)) == expected


@pytest.mark.usefixtures("disk")
def test_nothing_has_changed_between_snapshots_of_a_disk_at_rest(pool: HostPool) -> None:
    write(pool, 0, 1, 4000)
    base, target = cut(pool, "base"), cut(pool, "target")

    assert list(pool.changed(base, target)) == []
    assert list(pool.changed(base, base)) == []


@pytest.mark.usefixtures("disk")
def test_what_was_written_beyond_the_first_snapshots_end_has_changed(pool: HostPool) -> None:
    write(pool, 0)
    base = cut(pool, "base")
    pool.expand("pgdata", 2 * SIZE)
    end = SIZE // BLOCK
    write(pool, end, end + 7)
    target = cut(pool, "target")

    assert joined(pool.changed(base, target)) == blocks((end, 1), (end + 7, 1))
    assert joined(pool.allocated(target)) == blocks((0, 1), (end, 1), (end + 7, 1))


@pytest.mark.usefixtures("disk")
def test_extents_are_still_known_when_the_disk_is_gone(pool: HostPool) -> None:
    write(pool, 3)
    base = cut(pool, "base")
    write(pool, 5)
    target = cut(pool, "target")

    pool.delete("pgdata")

    assert joined(pool.allocated(target)) == blocks((3, 1), (5, 1))
    assert joined(pool.changed(base, target)) == blocks((5, 1))


@pytest.mark.usefixtures("disk")
def test_a_deleted_snapshot_has_no_extents(pool: HostPool) -> None:
    base, target = cut(pool, "base"), cut(pool, "target")
    pool.delete_snapshots(["base"])

    with pytest.raises(NotFound, match='snapshot "base" does not exist'):
        list(pool.allocated(base))
    with pytest.raises(NotFound, match='snapshot "base" does not exist'):
        list(pool.changed(base, target))
